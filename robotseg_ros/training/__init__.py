"""Training: clips packed for speed, augmentation, losses, prompts and the trainer. Knows the network, not ROS."""
