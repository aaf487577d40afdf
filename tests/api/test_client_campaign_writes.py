"""Campaigns are changed as told or not at all, and a change of unknown outcome is never sent twice."""

from __future__ import annotations

import json
import logging
import pickle
import re
import threading
from types import MappingProxyType

import pytest
from client_testing import (
    ONCE,
    PHONE,
    QUICK,
    TOKEN,
    everything_logged,
    everything_said,
    failure_of,
    lost_after_sending,
)
from raw_server import (
    BUSY,
    Peer,
    RawServer,
    always,
    answer,
    envelope,
    refused,
    refusing_address,
    replying,
    rows,
    unanswering_address,
)

from airflow_provider_wolkvox.api import (
    AddedRecords,
    ApiUnavailable,
    NotSent,
    Outcome,
    OutcomeUnknown,
    Refused,
    TokenBusy,
    TokenInvalid,
    TokenQuotaExceeded,
    WolkvoxClient,
    WolkvoxError,
)

CAMPAIGN = "32841"
CUSTOMER = "1020304050"
RECORD = {"customer_id": CUSTOMER, "customer_name": "José Peña", "tel1": PHONE, "opt1": ""}


def succeeded(code: str, msg: str, **more: object) -> bytes:
    return answer(envelope(code, msg=msg, **more), f"{code} OK")


STARTED = succeeded("202", f"The {CAMPAIGN} campaign_id has been started successfully")
STOPPED = succeeded("202", f"The {CAMPAIGN} campaign_id has been stopped successfully")
RECALLED = succeeded("200", "7 record(s) have been marked for recall successfully", data={"affected_records": "7"})
ADDED = succeeded("201", "All records has been added successfully", data=[{"total_registers": "1"}])


def none_added(*errors: object) -> bytes:
    counts = {"total_registers": "2", "total_success": "0", "total_errors": "2", "array_errors": list(errors)}
    return refused("404", "Not Found", "0 records has been added, please validate the data", data=[counts])


# What is called with which arguments, its request, an answer that accepts it, and what it then gives.
WRITES = {
    "start_campaign": ((CAMPAIGN,), ("PUT", "start", {"campaign_id": CAMPAIGN}, None), STARTED, None),
    "stop_campaign": ((32841,), ("PUT", "stop", {"campaign_id": CAMPAIGN}, None), STOPPED, None),
    "recall_records": (
        (CAMPAIGN, "cod_rslt1", "NO-ANSWER"),
        ("PUT", "recall_records", {"campaign_id": CAMPAIGN}, {"field": "cod_rslt1", "value": "NO-ANSWER"}),
        RECALLED,
        7,
    ),
    "add_records": (
        (CAMPAIGN, [RECORD]),
        (
            "POST",
            "add_record",
            {"type_campaign": "predictive", "campaign_id": CAMPAIGN, "campaign_status": "stop"},
            [RECORD],
        ),
        ADDED,
        AddedRecords(1, 1, 0, ()),
    ),
}
writes = pytest.mark.parametrize("method", WRITES)
with_body = pytest.mark.parametrize("method", ["recall_records", "add_records"])


def write(client: WolkvoxClient, method: str, **options):
    # A campaign's current status would be asked for by a request of its own.
    fixed = {"start": False} if method == "add_records" and options.get("type_campaign") != "preview" else {}
    return getattr(client, method)(*WRITES[method][0], **(fixed | options))


# What goes over the wire


@writes
def test_each_method_sends_one_request_with_its_parameters_and_its_body(method, connect):
    _, (verb, api, parameters, body), accepting, result = WRITES[method]
    with RawServer(always(accepting)) as server:
        assert write(connect(server), method) == result
    [asked] = server.asked
    assert (asked.method, asked.file, asked.api, asked.parameters) == (verb, "campaign.php", api, parameters)
    head = server.requests[0].decode().lower()
    assert head.count("content-length:") == 1
    assert head.count("wolkvox-token:") == 1
    if body is None:
        assert server.bodies == [b""]
        assert "content-type" not in head
        assert "\r\ncontent-length: 0\r\n" in head
    else:
        assert json.loads(server.bodies[0]) == body
        assert "\r\ncontent-type: application/json\r\n" in head
        assert f"\r\ncontent-length: {len(server.bodies[0])}\r\n" in head
        assert "transfer-encoding" not in head


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({"start": True}, {"type_campaign": "predictive", "campaign_status": "start"}),
        ({"start": False}, {"type_campaign": "predictive", "campaign_status": "stop"}),
        ({"type_campaign": "preview"}, {"type_campaign": "preview"}),
        ({"type_campaign": "preview", "start": None}, {"type_campaign": "preview"}),
    ],
)
def test_an_upload_sends_a_status_only_for_a_predictive_campaign(options, parameters, connect):
    with RawServer(always(ADDED)) as server:
        write(connect(server), "add_records", **options)
    [asked] = server.asked
    assert asked.parameters == {"campaign_id": CAMPAIGN, **parameters}


def having(*campaigns: tuple[str, str]):
    """Answer with a list of campaigns, each with its status, and take every upload."""
    listed = [{"campaign_id": campaign_id, "status": status} for campaign_id, status in campaigns]
    return replying(lambda asked: rows(*listed, code="") if asked.api == "campaigns" else ADDED)


@pytest.mark.parametrize(
    ("status", "sent"), [("Started", "start"), ("Stopped", "stop"), ("STARTED ", "start"), ("stopped", "stop")]
)
def test_an_upload_leaves_its_campaign_as_it_is_unless_it_is_asked_to_switch_it(status, sent, connect):
    with RawServer(having(("1", "Started"), ("2", "Stopped"), (CAMPAIGN, status))) as server:
        assert connect(server).add_records(CAMPAIGN, [RECORD]).accepted == 1
    assert [(asked.file, asked.api) for asked in server.asked] == [
        ("information.php", "campaigns"),
        ("campaign.php", "add_record"),
    ]
    assert server.asked[1].parameters["campaign_status"] == sent


@pytest.mark.parametrize(
    ("campaigns", "why"),
    [
        ([("1", "Started")], "not among the campaigns"),
        ([], "not among the campaigns"),
        ([(CAMPAIGN, "Paused")], "neither Started nor Stopped"),
        ([(CAMPAIGN, "")], "neither Started nor Stopped"),
    ],
)
def test_no_record_is_sent_while_the_campaigns_status_cannot_be_told(campaigns, why, connect):
    with RawServer(having(*campaigns)) as server:
        with pytest.raises(NotSent, match=f"add_record was not sent.*{why}"):
            connect(server).add_records(CAMPAIGN, [RECORD])
        assert [asked.api for asked in server.asked] == ["campaigns"]


@pytest.mark.parametrize("reply", [answer(b"<html>"), answer(b"{}", "500 ?"), b""], ids=["html", "500", "closed"])
def test_that_a_campaigns_status_was_not_read_is_no_doubt_about_the_records(reply, connect):
    def serve(peer):
        peer.request()
        peer.send(reply)

    with RawServer(serve) as server:
        with pytest.raises(NotSent, match="current status could not be read") as caught:
            connect(server).add_records(CAMPAIGN, [RECORD])
        assert caught.value.api == "add_record"
        assert [asked.api for asked in server.asked] == ["campaigns"]


def test_wrong_records_are_rejected_before_a_campaigns_status_is_read(connect):
    with RawServer(having((CAMPAIGN, "Started"))) as server:
        with pytest.raises(ValueError, match="customer_id"):
            connect(server).add_records(CAMPAIGN, [{"tel1": PHONE}])
        assert server.received == b""


LONG = {"customer_id": "1", **{f"opt{number}": "x" * 1_000 for number in range(1, 21)}}


def test_any_text_arrives_as_it_was_given(connect):
    odd = {"customer_id": "1", "name": 'Ñandú 🙂 "&=\\ \n\0 x', "no value": ""}
    with RawServer(always(ADDED)) as server:
        connect(server).add_records(CAMPAIGN, (MappingProxyType(odd),), start=False)
    assert json.loads(server.bodies[0]) == [odd]


def test_ten_thousand_records_are_sent_whole(connect):
    records = [{**RECORD, "customer_id": str(number), "comment": "x" * 300} for number in range(10_000)]
    with RawServer(always(ADDED)) as server:
        connect(server, total_timeout=30).add_records(CAMPAIGN, records, start=False)
    assert len(server.bodies[0]) > 4_000_000
    assert json.loads(server.bodies[0]) == records


def test_a_write_and_a_read_share_a_connection_and_neither_is_taken_for_the_other(connect, clock):
    with RawServer(replying(lambda asked: ADDED if asked.api == "add_record" else STARTED)) as server:
        client = connect(server)
        for _ in range(2):
            write(client, "add_records")
            write(client, "start_campaign")
        assert server.connections == 1
    assert [bool(body) for body in server.bodies] == [True, False] * 2


# What comes back


@pytest.mark.parametrize(
    ("reply", "affected"),
    [
        (RECALLED, 7),
        (succeeded("200", "ok", data={"affected_records": 12}), 12),
        (succeeded("200", "ok", data=[{"affected_records": "0"}]), 0),
        (succeeded("200", "3 record(s) have been marked for recall successfully"), 3),
        (succeeded("202", "1,204 things", data={"affected_records": "1,204"}), 1204),
    ],
)
def test_how_many_records_are_dialled_again_is_told(reply, affected, connect):
    with RawServer(always(reply)) as server:
        assert write(connect(server), "recall_records") == affected


@pytest.mark.parametrize("data", [None, {}, [], {"affected_records": "-"}, "text"])
def test_an_acceptance_that_does_not_say_how_many_is_not_taken_for_a_number(data, connect):
    with RawServer(always(succeeded("200", "done", data=data))) as server:
        with pytest.raises(OutcomeUnknown, match="did not say how many"):
            write(connect(server), "recall_records")
        assert len(server.requests) == 1


def test_that_no_record_was_taken_is_an_answer_with_its_reasons(connect):
    with RawServer(always(none_added("customer 1 is bad", "tel1 is bad"))) as server:
        added = connect(server).add_records(CAMPAIGN, [RECORD, RECORD], start=False)
    assert added == AddedRecords(2, 0, 2, ("customer 1 is bad", "tel1 is bad"))


def test_the_reasons_are_read_as_wolkvox_was_seen_to_write_them(connect):
    captured = {
        "error": "CUSTOMER_ID is empty, object position 0",
        "msg": "CUSTOMER_ID is a required field, please validate the data",
    }
    with RawServer(always(none_added(captured, {"error": "no such column"}, {"reason": "another"}))) as server:
        assert connect(server).add_records(CAMPAIGN, [RECORD, RECORD], start=False).errors == (
            "CUSTOMER_ID is empty, object position 0: CUSTOMER_ID is a required field, please validate the data",
            "no such column",
            '{"reason": "another"}',
        )


@pytest.mark.parametrize(
    ("data", "added"),
    [
        ([{"total_registers": "3"}], AddedRecords(3, 3, 0, ())),
        ({"total_registers": 3}, AddedRecords(3, 3, 0, ())),
        ([{"total_registers": "3", "total_success": "2", "total_errors": "1"}], AddedRecords(3, 2, 1, ())),
        ([{"total_registers": "3", "total_success": "2", "array_errors": ["a"]}], AddedRecords(3, 2, 1, ("a",))),
        ([{"total_registers": "3", "total_errors": "1"}], AddedRecords(3, 2, 1, ())),
        ([{"array_errors": None}], AddedRecords(3, 3, 0, ())),
        (None, AddedRecords(3, 3, 0, ())),
    ],
)
def test_how_many_records_were_taken_is_told_as_far_as_the_answer_says(data, added, connect):
    with RawServer(always(succeeded("201", "All records has been added successfully", data=data))) as server:
        assert connect(server).add_records(CAMPAIGN, [RECORD] * 3, start=False) == added


def test_an_answer_that_none_was_taken_says_so_although_it_lacks_its_counts(connect):
    reply = refused("404", "Not Found", "0 records has been added, please validate the data")
    with RawServer(always(reply)) as server:
        assert connect(server).add_records(CAMPAIGN, [RECORD] * 3, start=False) == AddedRecords(3, 0, 3, ())


@writes
@pytest.mark.parametrize(
    ("code", "msg"),
    [
        ("404", f"Campaign_id {CAMPAIGN} does not exist in your operation."),
        (
            "404",
            "You are uploading (66401) records to the system. According to quantity active licenses, You can upload "
            "50000 records. Try again.",
        ),
        ("404", "You must turn off a predictive before starting this one, you currently have 2 active predictives"),
        ("404", "The campaign has not been started, please validate the data"),
        ("404", "Validate dates entered"),
        ("400", "0 records has been added, please validate the data"),
        ("400", "SOME PARAMETERS ARE REQUIRED"),
    ],
)
def test_any_other_4xx_is_a_refusal_in_the_servers_words(method, code, msg, connect):
    api = WRITES[method][1][1]
    with RawServer(always(refused(code, "Not Found", msg))) as server:
        with pytest.raises(Refused) as caught:
            write(connect(server), method)
        assert type(caught.value) is Refused
        assert (caught.value.api, caught.value.code, caught.value.msg) == (api, code, msg)
        assert len(server.requests) == 1


def test_that_none_was_taken_is_an_answer_of_adding_records_only(connect):
    with RawServer(always(none_added())) as server, pytest.raises(Refused):
        write(connect(server), "start_campaign")


# The outcome table


OUTCOMES = {
    "quota": (refused("403", "FORBIDDEN", "TOKEN LIMIT EXCEEDED"), TokenQuotaExceeded),
    "token": (refused("403", "FORBIDDEN", "PLEASE VALIDATE TOKEN"), TokenInvalid),
    "no token": (refused("401", "UNAUTHORIZED", "PLEASE ENTER THE WOLKVOX-TOKEN"), TokenInvalid),
    "off": (refused("403", "FORBIDDEN", "maintenance"), ApiUnavailable),
    "402": (refused("402", "PAYMENT", "?"), Refused),
    "429": (refused("429", "LATER", "later"), Refused),
    "500": (answer(b"<html>", "500 Internal Server Error"), OutcomeUnknown),
    "500 in json": (answer(envelope("500", "ERROR", "x"), "500 Internal Server Error"), OutcomeUnknown),
    "502": (answer(b"<html>", "502 Bad Gateway"), OutcomeUnknown),
    "503": (answer(b"", "503 Service Unavailable", "Retry-After: 0"), OutcomeUnknown),
    "504": (answer(b"", "504 Gateway Timeout"), OutcomeUnknown),
    "302": (answer(b"", "302 Found", "Location: /"), OutcomeUnknown),
    "307": (answer(b"", "307 Temporary Redirect", "Location: /"), OutcomeUnknown),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", OutcomeUnknown),
    "html": (answer(b"<html>"), OutcomeUnknown),
    "list": (answer(b"[]"), OutcomeUnknown),
    "contradiction": (answer(envelope("202", "FAILED", "x"), "202 Accepted"), OutcomeUnknown),
    "garbage": (b"SSH-2.0-OpenSSH\r\n", OutcomeUnknown),
    "cut": (STARTED[:-20], OutcomeUnknown),
    "closed": (b"", OutcomeUnknown),
}


@writes
@pytest.mark.parametrize(("reply", "kind"), OUTCOMES.values(), ids=OUTCOMES)
def test_a_write_ends_as_the_outcome_table_says_and_is_sent_once(method, reply, kind, connect):
    def serve(peer: Peer) -> None:
        peer.request()
        peer.send(reply)

    with RawServer(serve) as server:
        client = connect(server)
        with pytest.raises(WolkvoxError) as caught:
            write(client, method)
        assert type(caught.value) is kind
        assert caught.value.api == WRITES[method][1][1]
        assert len(server.requests) == 1
    outcome = Outcome.UNKNOWN if kind is OutcomeUnknown else Outcome.REFUSED
    assert caught.value.outcome is outcome
    assert "rang" not in str(caught.value)


def reset_unread(peer: Peer) -> None:
    peer.reset()


def reset_after_the_head(peer: Peer) -> None:
    peer.sock.recv(1)
    peer.reset()


def reset_after_the_request(peer: Peer) -> None:
    peer.request()
    peer.reset()


@with_body
@pytest.mark.parametrize("serve", [reset_unread, reset_after_the_head, reset_after_the_request])
def test_a_connection_reset_at_any_stage_is_never_sent_again_once_a_byte_was(serve, method, connect):
    told = []
    with RawServer(serve) as server:
        client = connect(server)
        with pytest.raises(WolkvoxError) as caught:
            write(client, method, before_resending=told.append)
        # A reset may come before or after the first byte; what is certain is that the two are told apart, and that
        # only what was not sent was followed by another try.
        assert {type(failure) for failure in told} <= {NotSent}
        if isinstance(caught.value, OutcomeUnknown):
            assert server.connections == len(told) + 1
        else:
            assert isinstance(caught.value, NotSent)
            assert server.received == b""


def test_a_server_that_reads_the_head_and_hangs_up_in_the_body_leaves_the_outcome_unknown(connect):
    records = [LONG] * 1000  # more than sockets buffer
    with RawServer(reset_after_the_head) as server:
        with pytest.raises(OutcomeUnknown):
            connect(server).add_records(CAMPAIGN, records, start=False)
        assert server.connections == 1


def test_a_server_that_reads_the_head_only_ends_with_the_whole_time(connect):
    records = [LONG] * 1000

    def serve(peer: Peer) -> None:
        peer.sock.recv(1)
        peer.server.stopping.wait()

    def attempt(seconds: float) -> WolkvoxError:
        with RawServer(serve) as server:
            client = connect(server, total_timeout=seconds, resend=ONCE)
            failure = failure_of(lambda: client.add_records(CAMPAIGN, records, start=False))
            assert f"within {seconds:g} s" in str(failure)
            assert server.connections <= 1
            return failure

    lost_after_sending(attempt)


def test_a_head_that_is_handed_over_in_part_leaves_the_outcome_unknown(connect):
    parameters = {"campaign_id": "1" * 20_000_000}  # more than sockets buffer

    def attempt(seconds: float) -> WolkvoxError:
        with RawServer(lambda peer: peer.server.stopping.wait()) as server:
            transport = connect(server, total_timeout=seconds, resend=ONCE)._transport
            failure = failure_of(lambda: transport.send("PUT", "campaign.php", "start", parameters))
            assert f"within {seconds:g} s" in str(failure)
            assert server.connections <= 1
            return failure

    lost_after_sending(attempt)


def test_head_and_body_share_the_whole_time(connect, clock):
    head_arrived = threading.Event()

    def serve(peer: Peer) -> None:
        # Nearly an hour passes while the head, longer than sockets buffer, is on its way.
        head = peer.sock.recv(1)
        clock.now += 3599.5
        while b"\r\n\r\n" not in head[-70_000:]:
            head = head[-4:] + peer.sock.recv(65536)
        head_arrived.set()
        peer.server.stopping.wait()

    with RawServer(serve) as server:
        client = connect(server, total_timeout=3600, resend=ONCE)
        # The body has the half second that is left; with an hour of its own this test would not end.
        with pytest.raises(OutcomeUnknown, match="within 3600 s"):
            client._transport.send(
                "PUT", "campaign.php", "recall_records", {"campaign_id": "1" * 20_000_000}, body=b"x" * 20_000_000
            )
        assert head_arrived.wait(60)


def test_a_server_that_refuses_before_it_has_read_the_body_is_heard(connect):
    records = [LONG] * 100

    def serve(peer: Peer) -> None:
        peer.sock.recv(65536)
        peer.send(refused("403", "FORBIDDEN", "PLEASE VALIDATE TOKEN"))
        peer.hang()

    with RawServer(serve) as server, pytest.raises(TokenInvalid):
        connect(server).add_records(CAMPAIGN, records, start=False)


@writes
def test_no_answer_within_the_time_is_unknown(method, connect):
    def serve(peer: Peer) -> None:
        peer.request()
        peer.hang()

    def attempt(seconds: float) -> WolkvoxError:
        with RawServer(serve) as server:
            failure = failure_of(lambda: write(connect(server, total_timeout=seconds, resend=ONCE), method))
            assert f"within {seconds:g} s" in str(failure)
            assert len(server.requests) <= 1
            return failure

    lost_after_sending(attempt)


@writes
def test_a_refused_connection_is_not_sent(method, connect):
    with refusing_address() as (host, port), pytest.raises(NotSent, match="refused"):
        write(connect(f"http://{host}:{port}"), method)


@writes
def test_a_connection_that_never_comes_about_is_not_sent(method, connect):
    with unanswering_address() as (host, port), pytest.raises(NotSent):
        write(connect(f"http://{host}:{port}", connect_timeout=0.1, resend=ONCE), method)


@writes
def test_a_certificate_of_an_unknown_authority_gets_no_request(method, connect, tls):
    with RawServer(always(WRITES[method][2]), tls("127.0.0.1")) as server:
        with pytest.raises(NotSent, match="certificate"):
            write(connect(server), method)
        assert server.received == b""


@writes
@pytest.mark.usefixtures("trusted")
def test_a_write_goes_over_tls(method, connect, tls):
    with RawServer(always(WRITES[method][2]), tls("127.0.0.1")) as server:
        assert write(connect(server), method) == WRITES[method][3]


@writes
def test_the_next_request_is_made_after_any_failure(method, connect):
    def serve(peer: Peer) -> None:
        while peer.request():
            if peer.number == 1:
                return
            peer.send(WRITES[method][2])

    with RawServer(serve) as server:
        client = connect(server)
        with pytest.raises(OutcomeUnknown):
            write(client, method)
        assert write(client, method) == WRITES[method][3]


# Sending again, and the last word before


@writes
def test_a_busy_token_is_tried_again_with_the_same_request(method, connect):
    replies = iter([BUSY, BUSY, WRITES[method][2]])
    told, sent = [], []
    with RawServer(replying(lambda asked: next(replies))) as server:
        result = write(
            connect(server),
            method,
            before_sending=lambda: sent.append(len(server.requests)),
            before_resending=told.append,
        )
    assert result == WRITES[method][3]
    assert sent == [0, 1, 2]
    assert [type(failure) for failure in told] == [TokenBusy] * 2
    assert len(set(server.requests)) == len(set(server.bodies)) == 1


@writes
def test_a_token_that_stays_busy_ends_the_write(method, connect):
    with RawServer(always(BUSY)) as server:
        with pytest.raises(TokenBusy):
            write(connect(server), method)
        assert len(server.requests) == QUICK.tries


@writes
def test_before_sending_is_called_when_connected_and_before_any_byte(method, connect):
    with RawServer(always(WRITES[method][2])) as server:
        seen = []

        def look() -> None:
            assert server.wait_for_connections(1)
            seen.append((server.connections, server.received))

        write(connect(server), method, before_sending=look)
        assert seen == [(1, b"")]


@writes
@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError, BrokenPipeError, NotSent])
def test_what_before_sending_raises_comes_out_unchanged_with_nothing_sent(method, kind, connect):
    veto = kind("another", "no")

    def refuse() -> None:
        raise veto

    with RawServer(always(WRITES[method][2])) as server:
        with pytest.raises(kind) as caught:
            write(connect(server), method, before_sending=refuse)
        assert caught.value is veto
        assert server.received == b""


@writes
def test_what_before_resending_raises_ends_the_write(method, connect):
    def refuse(failure) -> None:
        raise KeyboardInterrupt

    with RawServer(always(BUSY)) as server:
        with pytest.raises(KeyboardInterrupt):
            write(connect(server), method, before_resending=refuse)
        assert len(server.requests) == 1


@writes
def test_a_stopped_client_writes_nothing(method, connect):
    with RawServer(always(WRITES[method][2])) as server:
        client = connect(server)
        client.stop()
        with pytest.raises(NotSent):
            write(client, method)
        assert server.received == b""


# Arguments that cannot be right


def adding(*records, **options):
    return ("add_records", (CAMPAIGN, [*records]), options)


WRONG = [
    *(
        ((method, (campaign_id, *WRITES[method][0][1:]), {}), "campaign_id")
        for method in WRITES
        for campaign_id in ("", "all", "x", None, 1.0, "1&api=start")
    ),
    *((("recall_records", (CAMPAIGN, field, "BUSY"), {}), "field") for field in ("", "cod_machine", "result", None)),
    *((("recall_records", (CAMPAIGN, "cod_rslt1", value), {}), "value") for value in ("", " ", None, 1)),
    (adding(), "holds 0 rows"),
    (adding(*[RECORD] * 10_001), "holds 10001 rows"),
    (("add_records", (CAMPAIGN, RECORD), {}), "list of mappings"),
    (("add_records", (CAMPAIGN, "records"), {}), "list of mappings"),
    (("add_records", (CAMPAIGN, (record for record in [RECORD])), {}), "list of mappings"),
    (("add_records", (CAMPAIGN, None), {}), "list of mappings"),
    (adding(RECORD, "record"), r"records\[1\] is not a mapping"),
    (adding(RECORD, RECORD, {"tel1": PHONE}), r"records\[2\] has no customer_id"),
    (adding(RECORD, {**RECORD, "customer_id": " "}), r"records\[1\] has no customer_id"),
    *(
        (adding(RECORD, {**RECORD, "tel1": value}), r"records\[1\]: tel1 must be text")
        for value in (573001234567, None, 1.5, True, [PHONE], {"a": PHONE}, b"x")
    ),
    (adding({**RECORD, 5: "x"}), r"records\[0\] has a column without a name"),
    (adding({**RECORD, " ": "x"}), r"records\[0\] has a column without a name"),
    *((adding(RECORD, type_campaign=kind), "type_campaign") for kind in ("", "manual", None)),
    *((adding(RECORD, start=start), "start must be") for start in ("False", 0)),
    *((adding(RECORD, type_campaign="preview", start=start), "start must be None") for start in (True, False)),
]


@pytest.mark.parametrize(("call", "why"), WRONG)
def test_an_argument_that_cannot_be_right_is_refused_with_nothing_sent(call, why, connect):
    method, arguments, options = call
    with RawServer(always(ADDED)) as server:
        with pytest.raises(ValueError, match=why) as caught:
            getattr(connect(server), method)(*arguments, **options)
        assert server.received == b""
    assert not re.search(f"{PHONE}|{CUSTOMER}|Peña", everything_said(caught.value))


# Secrets


@pytest.mark.parametrize(
    "said",
    [
        f"the phone {PHONE} is bad",
        "the phone 300 123 4567 is bad",
        "the phone (57) 300-123-4567 is bad",
        "the phone 12345 is bad",
        f"customer_id{CUSTOMER}bad",
        {"customer_id": CUSTOMER, "tel1": PHONE},
        [PHONE, 3001234567],
        f"the token {TOKEN}",
    ],
    ids=str,
)
def test_what_the_server_says_of_a_record_keeps_no_whole_number(said, connect):
    with RawServer(always(none_added(said))) as server:
        [error] = connect(server).add_records(CAMPAIGN, [RECORD], start=False).errors
    assert TOKEN not in error
    assert not re.search("[0-9]{5}", re.sub(r"[\s\-.()]", "", error))


def test_the_last_four_digits_of_a_long_number_tell_which_record_is_meant(connect):
    with RawServer(always(none_added(f"the phone {PHONE} of line 12 is bad"))) as server:
        [error] = connect(server).add_records(CAMPAIGN, [RECORD], start=False).errors
    assert error == "the phone ***4567 of line 12 is bad"


@writes
def test_neither_token_nor_a_customers_data_is_said_at_any_level(method, connect, caplog):
    for name in (None, "urllib3", "requests", "airflow_provider_wolkvox"):
        caplog.set_level(logging.DEBUG, logger=name)
    echo = f"{PHONE} of {CUSTOMER} for {TOKEN}"
    replies = iter([BUSY, refused("404", "Not Found", echo), answer(echo.encode(), "500 ?")])
    with RawServer(replying(lambda asked: next(replies))) as server:
        client = connect(server)
        for kind in (Refused, OutcomeUnknown):
            with pytest.raises(kind) as caught:
                write(client, method)
            said = everything_said(caught.value) + repr(pickle.dumps(caught.value)) + repr(client._transport.exchange)
            assert not re.findall(f"{TOKEN}|{PHONE}|{CUSTOMER}|Peña", said)
    logged = everything_logged(caplog.records)
    assert "Sending it again" in logged
    assert not re.findall(f"{TOKEN}|{PHONE}|{CUSTOMER}|Peña", logged)
