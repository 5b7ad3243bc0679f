"""A Ray of our own: what it opens to others."""

from __future__ import annotations

import ipaddress
import os

import psutil
import pytest

from harness.ray_session import RaySession
from tests.processes import below

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_no_autoscaler_serves_its_metrics(ray_here: RaySession):
    """Where prometheus-client is installed, as it is here, Ray's autoscaler listens nowhere."""
    assert ray_here.owned
    monitors = below(os.getpid(), "monitor.py")
    assert monitors
    listening = [
        one.laddr
        for process in monitors
        for one in process.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN
    ]
    assert [one for one in listening if not ipaddress.ip_address(one.ip).is_loopback] == []
