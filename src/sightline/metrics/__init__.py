"""How right predictions are: top-k, F1, mAP, mIoU, confusion, agreement of two predictors, and the intervals around them."""
