"""How a request gets to an endpoint, and its response back.

    endpoint     the address, the key, and what may be told of them
    connection   sends until an answer is there, no further try can help, or enough were made
    pace         when the next request may go: limits, and what the endpoint asks for
    concurrency  how many are in flight at once, found by trying
    posting      posts as the official client does: the first by it, later ones over aiohttp
    response     what the client makes of what came
    faults       what went wrong, in words that say what to do
    waits        how long the endpoint asks to be left alone

A model sends by its `Connection`, which uses the others.
"""
