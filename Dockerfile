# The server in a container: docker build -t osln-label:local .   (see compose.yaml and docs/pacs-demo.md)
#
# PyTorch's CPU builds make the image several GB smaller: --build-arg TORCH_INDEX=URL, where URL is the index that
# PyTorch's installation page shows for CPU.
FROM python:3.11-slim-bookworm

RUN useradd --create-home osln && mkdir /app /data && chown osln:osln /app /data
USER osln
WORKDIR /app

# The environment first: it is built anew only when what it is made of changes.
COPY --chown=osln:osln requirements.txt ./
COPY --chown=osln:osln scripts/start/environment.py scripts/start/installer.py scripts/start/
ARG TORCH_INDEX=""
RUN if [ -n "$TORCH_INDEX" ]; then \
        python -m venv .venv \
        && grep -E '^torch(vision)?[<>=]' requirements.txt > /tmp/torch.txt \
        && .venv/bin/python -m pip install --no-cache-dir --index-url "$TORCH_INDEX" -r /tmp/torch.txt; \
    fi \
    && PIP_NO_CACHE_DIR=1 python scripts/start/environment.py

COPY --chown=osln:osln . ./
# The package itself, which is imported from this folder.
RUN PIP_NO_CACHE_DIR=1 python scripts/start/environment.py
VOLUME /data
EXPOSE 8000
# Docker decides who reaches the port; with --users FILE people log in instead.
CMD ["./scripts/serve", "--host", "0.0.0.0", "--without-accounts"]
