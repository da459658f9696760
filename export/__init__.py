"""charflow.export"""
