"""PostgreSQL's own regression tests, in the version of the server, from Debian's source package."""

import difflib
import glob
import os
import re
import shutil
import subprocess
import tarfile

from stand import run, stand

DATABASE = "regression"
LIMIT = 1500
# What `pg_regress` sets in a database that it makes itself.
DATABASE_SETTINGS = {"lc_messages": "'C'", "lc_monetary": "'C'", "lc_numeric": "'C'", "lc_time": "'C'",
                     "bytea_output": "'hex'", "timezone_abbreviations": "'Default'"}
# C functions that its tests load, beside its own.
LIBRARIES = ["refint.so", "autoinc.so"]


class Sources:
    """What was fetched."""

    def __init__(self, folder, major):
        self.major = major
        self.tests = os.path.join(folder, "src", "test", "regress")
        self.library = os.path.join(folder, "regress.so")
        self.pg_regress = f"/usr/lib/postgresql/{major}/lib/pgxs/src/test/regress/pg_regress"


def version_of(programs):
    """`15`, and Debian's version of it where it is Debian's."""
    said = run([os.path.join(programs, "postgres"), "--version"])
    major = re.search(r"\) (\d+)\.", said)[1]
    debian = re.search(r"\(Debian ([^)]+)\)", said)
    if not debian:
        raise OSError(f"{programs} is not of a Debian package")
    return major, debian[1]


def fetch(cache, programs):
    major, version = version_of(programs)
    folder = os.path.join(cache, f"postgresql-{version}")
    sources = Sources(folder, major)
    if not os.path.exists(sources.pg_regress):
        raise OSError(f"{sources.pg_regress} is missing")
    if not os.path.exists(sources.library):
        part = folder + ".part"
        shutil.rmtree(part, ignore_errors=True)
        os.makedirs(part)
        unpack(part, major, version)
        compile_library(part, major)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(part, folder)
    return sources


def unpack(folder, major, version):
    """The tests out of Debian's source package, fetched by lists of sources of our own."""
    lists, sources = os.path.join(folder, "lists"), os.path.join(folder, "sources.list")
    os.makedirs(os.path.join(lists, "partial"))
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    codename = re.search(r"^VERSION_CODENAME=(\w+)", open("/etc/os-release", encoding="ascii").read(), re.M)[1]
    with open(sources, "w", encoding="ascii") as file:
        file.write(f"deb-src [signed-by={keyring}] http://deb.debian.org/debian {codename} main\n"
                   f"deb-src [signed-by={keyring}] http://deb.debian.org/debian-security {codename}-security main\n")
    apt = ["apt-get", "-qq", "-o", f"Dir::Etc::SourceList={sources}", "-o", "Dir::Etc::SourceParts=/dev/null", "-o",
           f"Dir::State::Lists={lists}", "-o", "APT::Sandbox::User=root"]
    run([*apt, "update"], cwd=folder)
    run([*apt, "source", "--download-only", "--tar-only", f"postgresql-{major}={version}"], cwd=folder)
    (archive,) = glob.glob(os.path.join(folder, "*.orig.tar.*"))
    with tarfile.open(archive) as tar:
        root = os.path.commonpath(tar.getnames())
        wanted = [member for member in tar.getmembers() if member.name.startswith(f"{root}/src/test/regress/")]
        for member in wanted:
            member.name = os.path.relpath(member.name, root)
        tar.extractall(folder, wanted, filter="data")
    os.remove(archive)
    shutil.rmtree(lists)


def compile_library(folder, major):
    """`regress.so`, with the server's headers: those that are installed, or Debian's unpacked here."""
    headers = f"/usr/include/postgresql/{major}/server"
    if not os.path.isdir(headers):
        run(["apt-get", "-qq", "download", f"postgresql-server-dev-{major}"], cwd=folder)
        (package,) = glob.glob(os.path.join(folder, "*.deb"))
        run(["dpkg", "-x", package, os.path.join(folder, "dev")])
        headers = os.path.join(folder, "dev", headers.lstrip("/"))
    source = os.path.join(folder, "src", "test", "regress", "regress.c")
    run(["cc", "-shared", "-fPIC", "-O1", "-w", "-I", headers, "-o", os.path.join(folder, "regress.so"), source])


def one_way(sources, programs, workshop, server, environment):
    """One run; -> what each test printed."""
    for name, value in DATABASE_SETTINGS.items():
        server.sql(f'ALTER DATABASE "{DATABASE}" SET {name} TO {value}')
    out = os.path.join(workshop, "out")
    for folder in (out, os.path.join(out, "results"), os.path.join(out, "testtablespace")):
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o777)
    tests = os.path.join(workshop, "regress")
    words = [sources.pg_regress, "--use-existing", f"--dbname={DATABASE}", f"--inputdir={tests}", f"--outputdir={out}",
             f"--dlpath={workshop}/lib", f"--bindir={programs}", "--max-concurrent-tests=20",
             f"--schedule={tests}/parallel_schedule", f"--user={environment['PGUSER']}",
             f"--host={environment['PGHOST']}", f"--port={environment['PGPORT']}"]
    env = {**{k: v for k, v in os.environ.items() if not k.startswith("PG")}, **environment, "PGPASSFILE": os.devnull}
    with open(os.path.join(out, "log"), "w", encoding="utf-8") as log:
        subprocess.run(words, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=LIMIT, check=False)
    outputs = {}
    for path in sorted(glob.glob(os.path.join(out, "results", "*.out"))):
        with open(path, encoding="utf-8", errors="backslashreplace") as file:
            outputs[os.path.basename(path).removesuffix(".out")] = file.read()
    with open(os.path.join(out, "log"), encoding="utf-8", errors="replace") as log:
        said = log.read()
    if not outputs:
        raise OSError(f"pg_regress: {said[-400:]}")
    expected = len(re.findall(r"\.\.\. +ok\b", said))
    print(f"  {expected} of {len(outputs)} outputs are those that PostgreSQL expects", flush=True)
    shutil.rmtree(out)
    return outputs


def compare(sources, programs, binary, keep):
    with stand(programs, binary, DATABASE) as both:
        workshop = os.path.join(both.folder, "workshop")
        shutil.copytree(sources.tests, os.path.join(workshop, "regress"))
        os.makedirs(os.path.join(workshop, "lib"))
        shutil.copy(sources.library, os.path.join(workshop, "lib"))
        for name in LIBRARIES:
            shutil.copy(f"/usr/lib/postgresql/{sources.major}/lib/{name}", os.path.join(workshop, "lib"))
        through = one_way(sources, programs, workshop, both.servers[1], both.through)
        direct = one_way(sources, programs, workshop, both.servers[0], both.direct)
    if keep:
        save(keep, direct, through)

    def details(name):
        pair = (direct.get(name, "").splitlines(), through.get(name, "").splitlines())
        lines = difflib.unified_diff(*pair, "direct", "through", n=0, lineterm="")
        return "\n    ".join(list(lines)[:30])

    return direct, through, details


def save(keep, direct, through):
    os.makedirs(keep, exist_ok=True)
    for side, outputs in (("direct", direct), ("through", through)):
        for name, text in outputs.items():
            if direct.get(name) != through.get(name):
                with open(os.path.join(keep, f"{name}.{side}"), "w", encoding="utf-8") as file:
                    file.write(text)
