"""The console: static files beside the API, and JSON for its pages.

* ``/console/…`` are files (``files.py``), open to everybody: they hold nothing but the page itself.
* ``/console/session`` signs a browser in and out (``session.py``, ``door.py``).
* ``/v1/console/<page>`` is one page's data: role ``read``, by API key or by session. JSON as everywhere else:
  names in ``snake_case`` with their unit, times in milliseconds since 1970 (``…_ms``), shares from 0 to 1,
  null for what is not known, problem documents for refusals.
* ``/v1/console/live?page=<page>`` sends the same once a second (``sse.py``), for pages that are said to live.

A page of the console is a row of the table in ``pages.py``, a module of Python beside it that collects its
data, and a module of JavaScript of the same name in ``static/pages/``, which has ``title`` and
``async show(root, api, live, rest, who)``: it fills ``root``, and returns what ends it. ``api`` is
``lib/api.js``, ``live`` is ``lib/live.js``, ``rest`` are the decoded parts behind ``#/<page>/``, ``who`` is
who is signed in (``name``, ``roles``). Elements are made by ``lib/dom.js``, of text and never of markup.
What a page changes, it changes through the API that everybody has: a session stands for the key that began
it, there too.
"""
