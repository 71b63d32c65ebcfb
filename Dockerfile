# Trefoil: the UI's pages, then one static binary.
FROM node:20-bookworm-slim AS pages
WORKDIR /src/ui
COPY ui/package.json ui/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY ui/ ./
RUN npm run build

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN GOWORK=off go mod download
COPY cmd/ cmd/
COPY internal/ internal/
COPY ui/embed.go ui/embed.go
COPY --from=pages /src/ui/dist ui/dist
RUN GOWORK=off CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /trefoil ./cmd/trefoil && mkdir -p /data

FROM scratch
COPY --from=build /trefoil /trefoil
COPY --from=build --chown=65532:65532 /data /data
USER 65532
ENV TREFOIL_DATA=/data
VOLUME /data
EXPOSE 8733 4317 4318 2000/tcp 2000/udp
ENTRYPOINT ["/trefoil"]
CMD ["serve"]
