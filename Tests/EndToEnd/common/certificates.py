"""Certificates for the drivers, made with openssl: an authority, and what it signs."""
import os
import subprocess


def _run(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Authority:
    def __init__(self, directory, name):
        os.makedirs(directory, exist_ok=True)
        self.directory, self.name = directory, name
        self.certificate, self.key = self._paths(name)
        _run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out", self.certificate, "-days", "2", "-subj", f"/CN={name}")

    def _paths(self, name):
        return os.path.join(self.directory, f"{name}.pem"), os.path.join(self.directory, f"{name}.key")

    def sign(self, name, names="IP:127.0.0.1", days=2, password=None):
        """(certificate, key) for the host names `names`. days: -1 for one that has expired. password: the key is encrypted with it."""
        certificate, key = self._paths(name)
        request, extensions = f"{certificate}.request", f"{certificate}.extensions"
        with open(extensions, "w") as f:
            f.write(f"subjectAltName={names}\n")
        _run("req", "-newkey", "rsa:2048", *(["-passout", f"pass:{password}"] if password else ["-nodes"]), "-keyout", key, "-out", request,
             "-subj", f"/CN={name}")
        _run("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial", "-days", str(days),
             "-extfile", extensions, "-out", certificate)
        return certificate, key
