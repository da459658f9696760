"""charflow.serving"""
