"""Dataset versions, blobs, formats, splits, statistics, augmentation and video: folders and arrays, no SQL, no torch."""
