"""What an endpoint can do: several answers in a call, probabilities, constraints, a seed.

    capabilities  what is tried first, and what is done where it does not work
    learning      learns that from what the endpoint refuses and answers
    memory        keeps it for later runs, for a week
    remarks       tells what it does without a word that people should know
    examination   measures it with a few tiny calls, for `ragemo doctor`

A model tells its `Learning` what came back, and asks it what the next request may hold.
"""
