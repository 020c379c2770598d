"""Pretrained models as plain folders."""
