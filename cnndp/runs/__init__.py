"""From Configs to records: train what the store lacks, keep it whole, and check it afterwards in every way there is.

What reads, writes, repeats or verifies a record comes in here. Nothing here draws a figure or judges a claim.
"""
