"""The page: a reading room, the model's judgement, its inside, and the lecture's playground.

    routes.py    what the page asks of the server, beside the API
    pixels.py    a picture and a heat map as numbers, for the viewer in the browser
    reading.py   one reading as a PDF
    runs.py      of a run that is served: its report, and its mistakes on validation
    inside.py    anatomy, feature maps and receptive fields
    play.py      the playground's pictures of the image that is looked at
    static/      HTML, CSS and JavaScript, without anything from elsewhere

Plain web standards and no toolkit: windowing, zooming and overlays must follow the pointer, so they
are computed where the pointer is; the server keeps nothing of an image between two questions, so
users cannot see each other's, and the page is one more client of the API. `inside` and `play` need
torch; without it the page says so and the rest works.
"""
