"""Detection: which objects are in a picture, and where?"""
