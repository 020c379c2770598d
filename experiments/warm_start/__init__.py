"""The supervised training that teaches a pretrained model the format of a task."""
