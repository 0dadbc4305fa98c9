from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.lab.metadata import aws, azure, openstack
from orlop.lab.metadata.services import SERVICES
from tests.unit.lab.metadata.asking import BARE, N1, ask

GOOGLE = {"Metadata-Flavor": "Google"}
AZURE = {"Metadata": "true"}
GOOGLE_DATA = "/computeMetadata/v1/instance/attributes/user-data"
AZURE_DATA = "/metadata/instance/compute/userData"


class TestGoogle:
    def test_the_header_is_asked_for_and_given(self) -> None:
        answer = ask("gcp", GOOGLE_DATA, headers=GOOGLE)
        assert (answer.status, answer.body) == (200, N1.user_data)
        assert answer.headers["Metadata-Flavor"] == "Google"
        for wrong in ({}, {"Metadata-Flavor": "google"}, {"Metadata-Flavor": "Google", "X-Forwarded-For": "1.2.3.4"}):
            refused = ask("gcp", GOOGLE_DATA, wrong)
            assert (refused.status, refused.headers["Metadata-Flavor"]) == (403, "Google")

    def test_what_is_not_there(self) -> None:
        assert ask("gcp", GOOGLE_DATA, instance=BARE, headers=GOOGLE).status == 404
        assert ask("gcp", "/computeMetadata/v2/", headers=GOOGLE).status == 404
        assert ask("gcp", GOOGLE_DATA, method="PUT", headers=GOOGLE).status == 405

    def test_folders(self) -> None:
        assert ask("gcp", "/").body == b"computeMetadata/\n", "who does not know yet where he is may look"
        moved = ask("gcp", "/computeMetadata/v1/instance", headers=GOOGLE)
        assert (moved.status, moved.headers["Location"]) == (301, "/computeMetadata/v1/instance/")
        names = ask("gcp", "/computeMetadata/v1/instance/", headers=GOOGLE).body.decode().split()
        assert {"attributes/", "hostname", "id", "zone"} <= set(names)
        whole = json.loads(ask("gcp", "/computeMetadata/v1/?recursive=true", headers=GOOGLE).body)
        assert whole["instance"]["attributes"]["user-data"] == (N1.user_data or b"").decode()
        assert whole["project"]["projectId"] == "orlop-lab"


class TestAzure:
    def test_user_data_is_base64(self) -> None:
        answer = ask("azure", f"{AZURE_DATA}?api-version=2021-01-01&format=text", headers=AZURE)
        assert (answer.status, base64.b64decode(answer.body)) == (200, N1.user_data)
        none = ask("azure", f"{AZURE_DATA}?api-version=2021-01-01&format=text", instance=BARE, headers=AZURE)
        assert (none.status, none.body) == (200, b"")

    @pytest.mark.parametrize(
        ("target", "headers", "said"),
        [
            (f"{AZURE_DATA}?api-version=2021-01-01", {}, "Required metadata header"),
            (f"{AZURE_DATA}?api-version=2021-01-01", {"Metadata": "false"}, "Required metadata header"),
            (AZURE_DATA, {"Metadata": "true"}, "was not specified"),
            (f"{AZURE_DATA}?api-version=2021-01-02", {"Metadata": "true"}, "is invalid"),
        ],
    )
    def test_a_request_that_is_not_right(self, target: str, headers: dict[str, str], said: str) -> None:
        answer = ask("azure", target, headers)
        assert answer.status == 400
        assert said in json.loads(answer.body)["error"]

    def test_user_data_came_with_a_version(self) -> None:
        assert ask("azure", f"{AZURE_DATA}?api-version=2020-12-01&format=text", headers=AZURE).status == 404

    def test_the_rest(self) -> None:
        compute = json.loads(ask("azure", "/metadata/instance?api-version=2021-02-01", headers=AZURE).body)["compute"]
        assert compute["name"] == "n1"
        versions = json.loads(ask("azure", "/metadata/versions", headers=AZURE).body)
        assert versions == {"apiVersions": list(azure.VERSIONS)}
        assert ask("azure", "/other", headers=AZURE).status == 404
        assert ask("azure", AZURE_DATA, method="POST", headers=AZURE).status == 405


class TestOpenStack:
    def test_user_data(self) -> None:
        assert ask("openstack", "/openstack/latest/user_data").body == N1.user_data
        assert ask("openstack", "/latest/user-data").body == N1.user_data
        assert ask("openstack", "/openstack/latest/user_data", instance=BARE).status == 404

    def test_the_tree(self) -> None:
        assert ask("openstack", "/openstack").body.decode().split("\n") == list(openstack.VERSIONS)
        names = ask("openstack", "/openstack/2018-08-27").body.decode().split("\n")
        assert {"meta_data.json", "network_data.json", "user_data"} <= set(names)
        meta = ask("openstack", "/openstack/latest/meta_data.json")
        assert meta.headers["Content-Type"] == "application/json"
        assert json.loads(meta.body)["name"] == "n1"
        assert ask("openstack", "/openstack/2019-01-01/user_data").status == 404
        assert ask("openstack", "/openstack/latest/user_data", method="PUT").status == 405


def test_the_lab_s_own_web_server() -> None:
    assert ask("web", "/config.ign").body == N1.user_data
    assert ask("web", "/config.ign", instance=BARE).status == 404
    assert ask("web", "/").status == 404
    assert ask("web", "/config.ign", method="PUT").status == 405


@given(st.sampled_from(sorted(SERVICES)), st.text(max_size=60), st.sampled_from(["GET", "PUT", "HEAD", "X"]), st.text())
def test_any_request_gets_an_answer(service: str, target: str, method: str, header: str) -> None:
    headers = dict.fromkeys(("Metadata", "Metadata-Flavor", aws.TTL_HEADER, aws.TOKEN_HEADER), header)
    answer = ask(service, "/" + target, headers, method=method)
    assert 200 <= answer.status < 500
