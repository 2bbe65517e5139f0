# One image with the one binary. Not built in our tests (they run without a container engine): tell us if it fails.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --bin kenh && cp target/debug/kenh /kenh

FROM debian:bookworm-slim
# What librdkafka is linked against, and the certificates that it trusts.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --home-dir /var/lib/kenh --create-home kenh
COPY --from=build /kenh /usr/local/bin/kenh
COPY schemas /usr/share/kenh/schemas
COPY broker-config /usr/share/kenh/broker-config
USER kenh
WORKDIR /var/lib/kenh
ENV KENH_DATA=/var/lib/kenh/data
ENTRYPOINT ["kenh"]
CMD ["up"]
