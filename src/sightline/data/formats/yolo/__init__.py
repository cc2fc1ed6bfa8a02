"""YOLO's label files in their two layouts: Ultralytics' and Darknet's."""
