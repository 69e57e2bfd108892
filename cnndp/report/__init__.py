"""What the book shows: tables, verdicts and sentences made from records. Figures are in `figures`.

Whatever turns records into something to read comes in here. It never trains, and no number is typed.
"""
