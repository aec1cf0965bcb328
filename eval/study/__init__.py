"""A study of people's votes: which of two variants' clips of an edit they prefer.

What is computed from votes and which pairs a rater is shown; no server, no page, no file.

    votes        pairs, questions and votes, and which vote counts
    assignment   what each rater is shown, in which order and on which side
    attention    who failed the attention checks
    tallies      votes by question and edit
    resampling   how often a resample draws each video
    preference   the paper's table: majority vote of each edit
    ranking      strengths by Bradley-Terry with ties
    agreement    Krippendorff's alpha, and raters' agreement with themselves
    correlation  how far each measure orders edits as the votes do
"""
