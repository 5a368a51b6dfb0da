# Untested: it was written on a machine without a Docker daemon.
#
# usrn-keras for the CPU:
#
#     docker build --tag usrn .
#     docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/work" usrn fit quickstart
FROM python:3.11-slim

COPY . /source
RUN pip install --no-cache-dir /source && rm -r /source

# Writable by every user, so that files in /work can belong to the user who starts the container.
RUN useradd --create-home usrn && chmod 1777 /home/usrn
ENV HOME=/home/usrn
USER usrn
WORKDIR /work

ENTRYPOINT ["usrn"]
CMD ["--help"]
