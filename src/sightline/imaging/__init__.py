"""numpy and OpenCV on images, boxes and masks: decode, resize, letterbox, IoU, NMS, run lengths, decode heads, drawing."""
