# The controller and the command line in one image: `docker build -t rollout-controller:0.1.0 .`
FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements.controller.lock ./
RUN python -m venv /opt/rollout \
 && /opt/rollout/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.controller.lock
COPY pyproject.toml README.md LICENSE ./
COPY rollout ./rollout
RUN /opt/rollout/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps . \
 && /opt/rollout/bin/python -m compileall -q /opt/rollout/lib

FROM python:3.11-slim
COPY --from=build /opt/rollout /opt/rollout
ENV PATH=/opt/rollout/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["rollout"]
CMD ["controller"]
