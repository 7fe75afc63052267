"""Dockerfile and context to image: parse, plan, solve."""
