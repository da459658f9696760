# charflow on the CPU, or with --build-arg EXTRAS=gpu for NVIDIA's GPUs:
#
#   docker build -t charflow:0.1.0 .
#   docker run --rm --init -v "$PWD:/work" charflow:0.1.0 train chat.csv --out runs/a
#   docker run --rm --init -v "$PWD:/work" -p 127.0.0.1:8500:8500 -p 127.0.0.1:8501:8501 charflow:0.1.0 \
#     serve --backend=embedded --host=0.0.0.0 --model_base_path=models/a --model_name=a
#
# The folder that is mounted must be one that user 1000 may write to (or --user "$(id -u)").

ARG PYTHON=3.12-slim-bookworm
FROM python:${PYTHON} AS build
ARG EXTRAS=""
ENV PATH=/opt/charflow/bin:$PATH
RUN python -m venv /opt/charflow
WORKDIR /src
# The packages first, 2 GB: their layer stays as long as these two files do.
COPY pyproject.toml constraints.txt ./
RUN python -c "import sys, tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
extras = [project['optional-dependencies'][name] for name in sys.argv[1].split(',') if name]; \
print(*project['dependencies'], *sum(extras, []), sep='\n')" "$EXTRAS" > requirements.txt \
    && pip install --no-cache-dir --constraint constraints.txt --requirement requirements.txt
COPY . .
RUN pip install --no-cache-dir --no-deps .

FROM python:${PYTHON}
COPY --from=build /opt/charflow /opt/charflow
# Any user may write there: what matplotlib keeps of fonts, and encoded chats.
ENV PATH=/opt/charflow/bin:$PATH MPLCONFIGDIR=/tmp/matplotlib XDG_CACHE_HOME=/tmp/cache PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 1000 charflow
USER 1000
WORKDIR /work
EXPOSE 8500 8501
# A server is healthy when its port answers; another command while it runs.
HEALTHCHECK --interval=30s --timeout=10s --start-period=2m \
    CMD ["python", "-c", "import urllib.request; b'serve' not in open('/proc/1/cmdline', 'rb').read().split(b'\\0') or urllib.request.urlopen('http://127.0.0.1:8501/v1/models', timeout=5)"]
ENTRYPOINT ["charflow"]
CMD ["--help"]
