"""Variants: which there are, what each has and refuses, and what a misspelt key is answered with."""

from __future__ import annotations

import pytest

from tests.unit.provision.texts import FLATCAR, ORLOP, findings, run


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("sorage", "did you mean storage?"),
        ("Storage", "did you mean storage?"),
        ("kernelArguments", "did you mean kernel_arguments?"),
        ("kernel-arguments", "did you mean kernel_arguments?"),
        ("boot_devices", "did you mean boot_device?"),
    ],
)
def test_did_you_mean(key: str, hint: str) -> None:
    assert run(f"{key}: {{}}").report.entries[0].hint == hint


def test_flatcar_has_no_clevis() -> None:
    body = "storage: {luks: [{name: a, device: /a, clevis: {tpm2: true}}]}"
    assert findings(body, FLATCAR) == ["error 1:48 $.storage.luks.0.clevis clevis is not supported by this variant"]
    assert findings(body) == []
    assert findings("storage: {luks: [{name: a, device: /a, clevis: {}}]}", FLATCAR) == []
    assert findings("boot_device: {}", FLATCAR) == [
        "warning 1:1 $.boot_device unknown key 'boot_device': it is left out"
    ]


def test_orlop_has_no_kernel_arguments_and_no_unknown_keys() -> None:
    assert findings("kernel_arguments: {should_exist: [quiet]}", ORLOP) == [
        "error 1:19 $.kernel_arguments kernel_arguments is not supported by this variant"
    ]
    assert findings("boot_device: {}", ORLOP) == ["error 1:1 $.boot_device unknown key 'boot_device'"]


@pytest.mark.parametrize(
    ("head", "message", "hint"),
    [
        ("a: b", "variant is missing", "begin with `variant: orlop`; known: fcos, flatcar, orlop"),
        ("variant: rhcos\nversion: 1.0.0", "unknown variant 'rhcos'", "did you mean fcos?"),
        ("variant: fcos", "version is missing", "add `version: 1.7.0`"),
        ("variant: fcos\nversion: 1.4", "'1.4' is not a valid version", "three numbers: `version: 1.7.0`"),
        ("variant: fcos\nversion: 1.8.0", "fcos 1.8.0 is not supported",
         "known: 1.0.0 to 1.7.0; write `version: 1.7.0`"),
        ("variant: fcos\nversion: 1.7.0-experimental", "fcos 1.7.0-experimental is not supported",
         "known: 1.0.0 to 1.7.0; write `version: 1.7.0`"),
        ("variant: flatcar\nversion: 1.2.0", "flatcar 1.2.0 is not supported",
         "known: 1.0.0 to 1.1.0; write `version: 1.1.0`"),
        ("variant: orlop\nversion: 9.0.0", "orlop 9.0.0 is not supported", "known: 1.0.0; write `version: 1.0.0`"),
    ],
)  # fmt: skip
def test_variants(head: str, message: str, hint: str) -> None:
    entries = run("", head + "\n").report.entries
    assert [(e.message, e.hint) for e in entries] == [(message, hint)]
