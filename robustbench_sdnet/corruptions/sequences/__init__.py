"""The sequences of CIFAR-10-P: one image, slowly changed, frame after frame."""
