"""The version, read without importing anything else."""

VERSION = '0.1.0'
