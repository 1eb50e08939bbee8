"""Decisions and states in words, tables and pictures; pure."""
