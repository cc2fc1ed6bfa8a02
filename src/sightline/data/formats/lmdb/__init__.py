"""LMDB of Caffe Datums."""
