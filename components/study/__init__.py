"""A study of people's votes at work: made of a run, shown on a page, kept in a database, counted.

What a study is and what its numbers mean is `eval/study`; here it meets a run's clips and people.

    design      what is shown, frozen when the study is made     making      from a run to a design
    clips       the clips themselves, and noise                  sequence    a rater's pages
    database    tables of a database                             record      a study in its database
    answers     what a page may send                             page         the page's files
    server      the page over HTTP                               serving      the server's process
    bundle      the page as static files                         importing    their answers
    outcome     the numbers of a study                           outcome_files  as files
"""
