"""charflow.cli"""
