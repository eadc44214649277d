# mcnet with all that it needs. Build it with `docker build -t mcnet .`; the README says how to run it.
FROM python:3.11-slim-bookworm

# OpenCV links to these libraries of the system.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

COPY . /src
RUN pip install --no-cache-dir /src

# Any user may run it, also one who has no home folder, where nothing but /tmp can be written.
ENV HOME=/tmp
CMD ["mcnet", "--help"]
