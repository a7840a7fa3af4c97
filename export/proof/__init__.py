"""Does the file stream what the original computes? If not, which operator is at fault?"""
