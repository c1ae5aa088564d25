"""Semantic segmentation: of which class is every pixel?"""
