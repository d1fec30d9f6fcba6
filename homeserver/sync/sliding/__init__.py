"""Sliding sync: the news of those rooms that a client looks at.  spec: MSC4186"""
