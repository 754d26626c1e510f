"""What messages a generated client may send, and what each wrong one gets: raw bytes over real HTTP.

One row per trait of stock Spyne that was wrong (SOAP 1.1, SOAP 1.2 Part 1 and 2, WS-I Basic Profile 1.1).
"""

from __future__ import annotations

import gzip
import re
import zlib
from typing import Any

import pytest
import requests
from lxml import etree

from tests.serving import Service

SOAP11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP12 = "http://www.w3.org/2003/05/soap-envelope"
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
LIMITS = '<GetLimits xmlns="urn:webchat:v1"/>'
MEDIA = {SOAP11: "text/xml; charset=utf-8", SOAP12: "application/soap+xml; charset=utf-8"}


def envelope(namespace: str, body: str = LIMITS, header: str = "", after: str = "") -> str:
    head = f"<s:Header>{header}</s:Header>" if header else ""
    return f'<s:Envelope xmlns:s="{namespace}">{head}<s:Body>{body}</s:Body>{after}</s:Envelope>'


def send(service: Service, namespace: str, message: str | bytes, **headers: str) -> requests.Response:
    return service.post(message, **({"Content_Type": MEDIA[namespace]} | headers))


def code(answer: requests.Response) -> tuple[str, str | None]:
    """The fault code's local name and the WebchatFault's code."""
    root = etree.fromstring(answer.content)
    namespace = etree.QName(root).namespace
    fault = root.find(f"{{{namespace}}}Body/{{{namespace}}}Fault")
    assert fault is not None, answer.text
    if namespace == SOAP11:
        assert [node.tag for node in fault][:2] == ["faultcode", "faultstring"]
        first = fault.findtext("faultcode")
    else:
        first = fault.findtext(f"{{{namespace}}}Code/{{{namespace}}}Value")
    prefix, _, local = first.partition(":")
    assert fault.nsmap[prefix] == namespace
    return local, fault.findtext(".//{urn:webchat:v1}code")


def refused(answer: requests.Response, namespace: str) -> str:
    """Assert a Client fault InvalidRequest in this version and return its message."""
    assert answer.status_code == 500, answer.text
    assert answer.headers["Content-Type"] == MEDIA[namespace]
    assert code(answer) == ("Client" if namespace == SOAP11 else "Sender", "InvalidRequest"), answer.text
    return etree.fromstring(answer.content).findtext(".//{urn:webchat:v1}message")


both = pytest.mark.parametrize("ns", [SOAP11, SOAP12], ids=["1.1", "1.2"])


@both
def test_the_answer_is_in_the_version_of_the_request(service: Service, ns: str) -> None:
    answer = send(service, ns, envelope(ns))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == MEDIA[ns]
    assert etree.QName(etree.fromstring(answer.content)).namespace == ns
    other = SOAP12 if ns == SOAP11 else SOAP11
    assert other not in answer.text


@both
@pytest.mark.parametrize(
    "body",
    [
        pytest.param("", id="empty Body"),
        pytest.param("just text", id="text in Body"),
        pytest.param(LIMITS + LIMITS, id="two operations"),
        pytest.param(f"text{LIMITS}", id="text before the operation"),
        pytest.param("<GetLimits/>", id="unqualified operation"),
        pytest.param('<Nothing xmlns="urn:webchat:v1"/>', id="unknown operation"),
        pytest.param('<GetLimits xmlns="urn:other"/>', id="wrong namespace"),
        pytest.param('<GetLimits xmlns="urn:webchat:v1"><CHATID>a</CHATID><CHATID>b</CHATID></GetLimits>', id="repeated"),
        pytest.param('<GetLimits xmlns="urn:webchat:v1"><Other>a</Other></GetLimits>', id="unknown parameter"),
        pytest.param('<w:GetLimits xmlns:w="urn:webchat:v1"><CHATID>a</CHATID></w:GetLimits>', id="unqualified parameter"),
        pytest.param('<GetLimits xmlns="urn:webchat:v1"><CHATID><b>a</b></CHATID></GetLimits>', id="child in a string"),
        pytest.param('<GetLimits xmlns="urn:webchat:v1">text</GetLimits>', id="text in the wrapper"),
        pytest.param('<GetLimits xmlns="urn:webchat:v1"><CHATID href="#a"/></GetLimits>', id="href"),
        pytest.param('<GetLimits xmlns="urn:webchat:v1"><CHATID id="a">a</CHATID></GetLimits>', id="id"),
        pytest.param('<EndChat xmlns="urn:webchat:v1"/>', id="missing parameter"),
        pytest.param(f'<EndChat xmlns="urn:webchat:v1" {XSI}><CHATID xsi:nil="true"/></EndChat>', id="nil required"),
        pytest.param(
            '<SendMessage xmlns="urn:webchat:v1"><fileDetails>{}</fileDetails><CHATID>a</CHATID></SendMessage>',
            id="wrong order",
        ),
        pytest.param(
            f'<GetLimits xmlns="urn:webchat:v1" {XSI}><CHATID xsi:type="Fault">a</CHATID></GetLimits>', id="xsi:type"
        ),
        pytest.param("<s:Fault/>", id="a Fault as a request"),
        *(
            pytest.param(
                f'<GetMessages xmlns="urn:webchat:v1"><CHATID>a</CHATID><afterSequence>{number}</afterSequence>'
                "</GetMessages>",
                id=f"number {number!r}",
            )
            for number in ("1_0", "٣", "", "1.0", "x", "9223372036854775808", "1e3")
        ),
    ],
)  # fmt: skip
def test_a_wrong_body_is_refused_with_a_sentence(service: Service, ns: str, body: str) -> None:
    message = refused(send(service, ns, envelope(ns, body)), ns)
    assert message.endswith(".")
    assert "urn:webchat:v1}" not in message


@both
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda ns: "", id="empty"),
        pytest.param(lambda ns: "no xml", id="no XML"),
        pytest.param(lambda ns: envelope(ns)[:-5], id="cut short"),
        pytest.param(lambda ns: f'<s:Envelope xmlns:s="{ns}"/>', id="no Body"),
        pytest.param(
            lambda ns: f'<s:Envelope xmlns:s="{ns}"><s:Body>{LIMITS}</s:Body><s:Body>{LIMITS}</s:Body></s:Envelope>',
            id="two Bodies",
        ),
        pytest.param(
            lambda ns: f'<s:Envelope xmlns:s="{ns}"><s:Body>{LIMITS}</s:Body><s:Header/></s:Envelope>',
            id="Header after Body",
        ),
        pytest.param(lambda ns: envelope(ns, after="<x/>"), id="element after Body"),
        pytest.param(lambda ns: "<!DOCTYPE a>" + envelope(ns), id="DTD"),
        pytest.param(
            lambda ns: '<!DOCTYPE a [<!ENTITY b "c">]>' + envelope(ns, LIMITS.replace("/>", "><CHATID>&b;</CHATID></GetLimits>")),
            id="entity",
        ),
        pytest.param(
            lambda ns: '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'
            + envelope(ns, LIMITS.replace("/>", "><CHATID>&b;</CHATID></GetLimits>")),
            id="external entity",
        ),
        pytest.param(lambda ns: "<?work now?>" + envelope(ns), id="processing instruction before"),
        pytest.param(lambda ns: envelope(ns, LIMITS.replace("/>", "><?now?></GetLimits>")), id="instruction inside"),
        pytest.param(lambda ns: envelope(ns) + "<?now?>", id="instruction behind"),
        pytest.param(lambda ns: envelope(ns, "<a>" * 300 + "</a>" * 300), id="too deep"),
        pytest.param(lambda ns: envelope(ns, header="<a/>" * 30_000), id="too many elements"),
        pytest.param(lambda ns: envelope(ns).replace("<GetLimits", "<GetLimits " + " ".join(f'a{n}="1"' for n in range(5000))),
                     id="too many attributes"),
        pytest.param(lambda ns: envelope(ns).replace("xmlns:s=", "xmlns:t="), id="undeclared prefix"),
        pytest.param(lambda ns: envelope(ns, LIMITS.replace("/>", ' y:a="1"/>')), id="undeclared prefix of an attribute"),
        pytest.param(lambda ns: envelope(ns, header="<y:a/>"), id="undeclared prefix in the Header"),
        pytest.param(lambda ns: envelope(ns).encode() + b"\xff", id="invalid UTF-8"),
        pytest.param(lambda ns: envelope(ns).replace("GetLimits", "Get\x00Limits"), id="NUL"),
        pytest.param(lambda ns: envelope(ns, header='<x:a xmlns:x="urn:x" s:mustUnderstand="maybe"/>'),
                     id="mustUnderstand of no value"),
    ],
)  # fmt: skip
def test_a_wrong_envelope_is_refused_with_a_sentence(service: Service, ns: str, make: Any) -> None:
    message = refused(send(service, ns, make(ns)), ns)
    assert message.endswith(".")
    assert "passwd" not in message


@both
@pytest.mark.parametrize("where", ["Envelope", "Body"])
def test_a_flood_of_namespaces_is_refused_before_it_costs_anything(service: Service, ns: str, where: str) -> None:
    for count, word in ((5_000, "attributes"), (900, "namespaces")):
        flood = " ".join(f'xmlns:a{number}="u"' for number in range(count))
        message = refused(send(service, ns, envelope(ns).replace(f"<s:{where}", f"<s:{where} {flood}", 1)), ns)
        assert word in message


@both
def test_an_envelope_larger_than_any_valid_one_is_refused_with_both_numbers(service: Service, ns: str) -> None:
    answer = send(service, ns, envelope(ns, header=f"<a>{'x' * 200_000}</a>"))
    refused(answer, ns)
    assert int(etree.fromstring(answer.content).findtext(".//{urn:webchat:v1}actual")) > 200_000


@both
def test_the_longest_text_fits_however_it_is_escaped(service: Service, ns: str, chat_id: str) -> None:
    text = "\\ud83d\\ude00" * 4096
    body = f'<SendMessage xmlns="urn:webchat:v1"><CHATID>{chat_id}</CHATID><fileDetails>{{"text": "{text}"}}</fileDetails></SendMessage>'
    header = f'<x:Assertion xmlns:x="urn:x">{"token" * 6_000}</x:Assertion>'
    assert send(service, ns, envelope(ns, body, header=header)).status_code == 200


@both
def test_a_text_of_quotes_and_equals_signs_is_no_flood_of_attributes(service: Service, ns: str, chat_id: str) -> None:
    text = "='a' " * 800
    body = f'<SendMessage xmlns="urn:webchat:v1"><CHATID>{chat_id}</CHATID><fileDetails>{{"text": "{text}"}}</fileDetails></SendMessage>'
    assert send(service, ns, envelope(ns, body)).status_code == 200


@both
def test_a_handful_of_namespaces_and_the_word_in_a_text_are_fine(service: Service, ns: str, chat_id: str) -> None:
    some = " ".join(f'xmlns:a{number}="u{number}"' for number in range(40))
    text = "xmlns " * 500
    body = f'<SendMessage xmlns="urn:webchat:v1"><CHATID>{chat_id}</CHATID><fileDetails>{{"text": "{text}"}}</fileDetails></SendMessage>'
    assert send(service, ns, envelope(ns, body).replace("<s:Body", f"<s:Body {some}")).status_code == 200


@pytest.mark.parametrize("size", [1001, 60_000])
def test_a_content_type_of_that_length_is_415(service: Service, size: int) -> None:
    answer = service.post(envelope(SOAP11), Content_Type='text/xml; a="' + ";" * size)
    assert answer.status_code == 415


def test_a_content_type_that_nobody_can_read_is_415(service: Service) -> None:
    for media in ("text/xml; a*1=b; a*x=c; a*=''", "text/xml; a*=undefined''b", "text/xml; charset*=idna''utf-8"):
        assert service.post(envelope(SOAP11), Content_Type=media).status_code == 415


def test_the_head_of_a_part_is_bounded(service: Service) -> None:
    package = f'--b\r\nContent-Type: text/xml; a="{";" * 80_000}"\r\n\r\n{envelope(SOAP11)}\r\n--b--\r\n'
    refused(service.post(package, Content_Type="multipart/related; boundary=b"), SOAP11)


@both
def test_leading_zeros_without_end_are_refused_and_some_are_fine(service: Service, ns: str, chat_id: str) -> None:
    body = '<GetMessages xmlns="urn:webchat:v1"><CHATID>{}</CHATID><afterSequence>{}</afterSequence></GetMessages>'
    refused(send(service, ns, envelope(ns, body.format(chat_id, "0" * 5000 + "5"))), ns)
    assert code(send(service, ns, envelope(ns, body.format(chat_id, "0" * 20 + "5"))))[1] == "ChatNotFound"


@both
def test_a_header_block_without_a_namespace_is_refused(service: Service, ns: str) -> None:
    refused(send(service, ns, envelope(ns, header="<a/>")), ns)
    refused(send(service, ns, envelope(ns, header='<a s:mustUnderstand="1"/>')), ns)


def test_a_header_block_in_the_namespace_of_xml_is_named_so_that_it_can_be_read(service: Service) -> None:
    answer = send(service, SOAP12, envelope(SOAP12, header='<xml:a s:mustUnderstand="true"/>'))
    assert code(answer) == ("MustUnderstand", None)
    block = etree.fromstring(answer.content).find(f"{{{SOAP12}}}Header/{{{SOAP12}}}NotUnderstood")
    assert block.get("qname") == "xml:a"


@both
@pytest.mark.parametrize(
    "details",
    [
        f'<![CDATA[{{"text": "http://h/cat.png?a=1&X-Goog-Signature={"f" * 512}"}}]]>',
        f'{{"text": "the token is {"a" * 1000}="}}',
        f'{{"text": "{"注意你好，世界。" * 40}=5"}}',
        f'<![CDATA[{{"text": "Tom&{"你好，世界。" * 60}"}}]]>',
        f'{{"text": "{"xmlns" * 700}="}}',
        f'{{"text": "{"&quot;" * 0}{" = " * 1000}"}}',
    ],
)
def test_a_text_may_look_like_names(service: Service, ns: str, chat_id: str, details: str) -> None:
    body = f'<SendMessage xmlns="urn:webchat:v1"><CHATID>{chat_id}</CHATID><fileDetails>{details}</fileDetails></SendMessage>'
    assert send(service, ns, envelope(ns, body)).status_code == 200


@both
@pytest.mark.parametrize(
    "header",
    [
        "<!-- Tom & Jerry -->", "<!-- <!DOCTYPE x> -->", '<a:b xmlns:a="u" xml:id="1a"><a:c xml:id="1a"/></a:b>',
    ],
)  # fmt: skip
def test_what_nobody_here_reads_may_be_odd(service: Service, ns: str, header: str) -> None:
    assert send(service, ns, envelope(ns, header=header)).status_code == 200


@both
@pytest.mark.parametrize("name", ["a b", "http://şirket.com.tr/ns", "c:\\x"])
def test_a_namespace_that_is_no_uri_is_refused_and_said_so(service: Service, ns: str, name: str) -> None:
    answer = send(service, ns, envelope(ns, header=f'<u:a xmlns:u="{name}"/><?p q?>'))
    refused(answer, ns)
    assert "namespace that is no URI" in answer.text


@pytest.mark.parametrize(
    "body",
    [
        f'<s:Envelope xmlns:s=""><s:Header><h xmlns="u"/></s:Header><s:Body xmlns:s="u">{LIMITS}</s:Body></s:Envelope>',
        f'<s:Envelope xmlns:s=""><s:Body>{LIMITS}</s:Body></s:Envelope>',
    ],
)
def test_a_prefix_of_no_namespace_is_refused_wherever_libxml2_goes_on(service: Service, body: str) -> None:
    refused(send(service, SOAP11, body), SOAP11)


@both
def test_what_stands_behind_a_parameter_that_is_nil_is_seen(service: Service, ns: str) -> None:
    body = (
        '<SendMessage xmlns="urn:webchat:v1"><CHATID xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        ' xsi:nil="1"/>JUNK<fileDetails>{"CHATID": "a", "message": {"text": "a"}}</fileDetails></SendMessage>'
    )
    refused(send(service, ns, envelope(ns, body)), ns)


@both
def test_only_white_space_of_xml_may_stand_beside_elements(service: Service, ns: str) -> None:
    refused(send(service, ns, envelope(ns).replace("<s:Body>", "<s:Body>\u00a0")), ns)


def test_an_instruction_with_a_quote_hides_no_tags(service: Service) -> None:
    body = '<GetLimits xmlns="urn:webchat:v1"><CHATID><?x \'?>' + "<a/>" * 4400 + "'</CHATID></GetLimits>"
    answer = send(service, SOAP11, envelope(SOAP11, body))
    refused(answer, SOAP11)
    assert "more than 500 tags" in answer.text


@both
@pytest.mark.parametrize("instruction", ["<?xmlfoo a?>", '<?xml-stylesheet href="a"?>'])
def test_an_instruction_that_looks_like_the_declaration_is_refused(service: Service, ns: str, instruction: str) -> None:
    refused(send(service, ns, instruction + envelope(ns)), ns)


@both
def test_nil_with_white_space_counts_as_left_away_and_nil_with_text_does_not(service: Service, ns: str) -> None:
    body = f'<GetLimits xmlns="urn:webchat:v1" {XSI}><CHATID xsi:nil="true">{{}}</CHATID></GetLimits>'
    assert send(service, ns, envelope(ns, body.format("\n  "))).status_code == 200
    message = refused(send(service, ns, envelope(ns, body.format("a"))), ns)
    assert "required" not in message


@both
@pytest.mark.parametrize("operation", ["StartChat", "GetLimits"])
def test_a_blank_optional_chat_id_counts_as_left_away(service: Service, ns: str, operation: str) -> None:
    body = f'<{operation} xmlns="urn:webchat:v1"><CHATID>  </CHATID></{operation}>'
    assert send(service, ns, envelope(ns, body)).status_code == 200


def test_an_unknown_encoding_style_on_a_parameter_is_told_too(service: Service) -> None:
    body = '<GetLimits xmlns="urn:webchat:v1"><CHATID s:encodingStyle="http://x">a</CHATID></GetLimits>'
    assert code(send(service, SOAP12, envelope(SOAP12, body))) == ("DataEncodingUnknown", None)


def test_the_longest_text_may_be_all_markup_signs(start_service: Any, chat_id: str) -> None:
    roomy = start_service(MAX_TEXT="50000")
    text = "<" * 50_000
    body = f'<SendMessage xmlns="urn:webchat:v1"><CHATID>{chat_id}</CHATID><fileDetails><![CDATA[{{"text": "{text}"}}]]></fileDetails></SendMessage>'
    assert send(roomy, SOAP11, envelope(SOAP11, body)).status_code == 200


@both
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda ns: '<?xml version="1.0" encoding="utf-8"?>\n' + envelope(ns), id="declaration"),
        pytest.param(lambda ns: b"\xef\xbb\xbf" + envelope(ns).encode(), id="byte order mark"),
        pytest.param(lambda ns: "<!-- a --><!-- b -->" + envelope(ns, f"<!-- c -->{LIMITS}<!-- d -->") + "<!-- e -->",
                     id="comments everywhere"),
        pytest.param(lambda ns: envelope(ns, f"\n  {LIMITS}\t\n"), id="white space"),
        pytest.param(lambda ns: envelope(ns, header='<x:a xmlns:x="urn:x">text</x:a>'), id="a header block"),
        pytest.param(lambda ns: envelope(ns, header='<x:a xmlns:x="urn:x" s:mustUnderstand="0"/>'), id="mustUnderstand=0"),
        pytest.param(
            lambda ns: envelope(
                ns,
                header=f'<x:a xmlns:x="urn:x" s:mustUnderstand="1" s:{"actor" if ns == SOAP11 else "role"}="urn:other"/>',
            ),
            id="mustUnderstand for another role",
        ),
        pytest.param(lambda ns: envelope(ns, f'<GetLimits xmlns="urn:webchat:v1" {XSI} xsi:nil="true"/>'), id="nil wrapper"),
        pytest.param(lambda ns: envelope(ns, f'<GetLimits xmlns="urn:webchat:v1" {XSI}><CHATID xsi:nil="1"/></GetLimits>'),
                     id="nil optional"),
        pytest.param(lambda ns: envelope(ns, '<GetLimits xmlns="urn:webchat:v1"><CHATID/></GetLimits>'),
                     id="empty optional string"),
        pytest.param(
            lambda ns: envelope(
                ns,
                f'<GetLimits xmlns="urn:webchat:v1" {XSI} xsi:schemaLocation="urn:webchat:v1 file:///etc/passwd"/>',
            ),
            id="schemaLocation",
        ),
        pytest.param(lambda ns: envelope(ns, '<w:GetLimits xmlns:w="urn:webchat:v1"></w:GetLimits>'), id="prefix"),
    ],
)  # fmt: skip
def test_what_the_specifications_allow_works(service: Service, ns: str, make: Any) -> None:
    answer = send(service, ns, make(ns))
    assert answer.status_code == 200, answer.text
    assert "GetLimitsResult" in answer.text


@both
def test_comments_and_cdata_inside_a_value_are_joined(service: Service, ns: str, chat_id: str) -> None:
    body = (
        '<SendMessage xmlns="urn:webchat:v1">'
        f"<CHATID>{chat_id[:5]}<!-- x -->{chat_id[5:]}</CHATID>"
        '<fileDetails><![CDATA[{"text":]]> "a<!-- y -->b"}</fileDetails></SendMessage>'
    )
    answer = send(service, ns, envelope(ns, body))
    assert f"<CHATID>{chat_id}</CHATID>" in answer.text
    page = send(
        service, ns, envelope(ns, f'<GetMessages xmlns="urn:webchat:v1"><CHATID>{chat_id}</CHATID></GetMessages>')
    )
    assert "<text>ab</text>" in page.text


@both
@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        ("utf-16", "utf-16"),
        ("UTF-16LE", "utf-16-le"),
        ("iso-8859-1", "latin-1"),
        ("windows-1254", "cp1254"),
        (None, "utf-16"),
    ],
)
def test_other_charsets_are_read(service: Service, ns: str, chat_id: str, charset: str | None, codec: str) -> None:
    word = "ö" if codec == "latin-1" else "öşğı" if codec == "cp1254" else "öşğı漢"
    body = f'<SendMessage xmlns="urn:webchat:v1"><CHATID>{chat_id}</CHATID><fileDetails>{{"text": "{word}"}}</fileDetails></SendMessage>'
    declaration = f'<?xml version="1.0" encoding="{charset or "utf-16"}"?>'
    media = MEDIA[ns].partition(";")[0] + (f'; charset="{charset}"' if charset else "")
    answer = send(service, ns, (declaration + envelope(ns, body)).encode(codec), Content_Type=media)
    assert answer.status_code == 200, answer.text
    page = send(
        service, ns, envelope(ns, f'<GetMessages xmlns="urn:webchat:v1"><CHATID>{chat_id}</CHATID></GetMessages>')
    )
    assert f"<text>{word}</text>" in page.content.decode()


@both
@pytest.mark.parametrize("charset", ["rot13", "zlib", "klingon", "utf-7", "idna"])
def test_an_unknown_charset_is_415(service: Service, ns: str, charset: str) -> None:
    answer = send(service, ns, envelope(ns), Content_Type=f"{MEDIA[ns].partition(';')[0]}; charset={charset}")
    assert answer.status_code == 415
    assert "UTF-8" in answer.text


@both
@pytest.mark.parametrize("codec", ["utf-8", "iso-8859-1", "utf-16"])
def test_what_looks_like_a_declaration_in_a_text_is_text_in_every_charset(
    service: Service, ns: str, chat_id: str, codec: str
) -> None:
    text = "before <?xml version=1?> after"
    body = f'<SendMessage xmlns="urn:webchat:v1"><CHATID>{chat_id}</CHATID><fileDetails><![CDATA[{{"text": "{text}"}}]]></fileDetails></SendMessage>'
    media = f"{MEDIA[ns].partition(';')[0]}; charset={codec}"
    assert send(service, ns, envelope(ns, body).encode(codec), Content_Type=media).status_code == 200
    page = send(
        service, ns, envelope(ns, f'<GetMessages xmlns="urn:webchat:v1"><CHATID>{chat_id}</CHATID></GetMessages>')
    )
    assert etree.fromstring(page.content).findtext(".//{urn:webchat:v1}text") == text


@both
@pytest.mark.parametrize("codec", ["utf-8", "iso-8859-1", "utf-16"])
@pytest.mark.parametrize(
    "before", ['<?xml-stylesheet href="x"?>', ' <?xml version="1.0"?>', '<?xml foo="7" bar?>', '<?xml version="2.0"?>', "<!DOCTYPE a>"]
)  # fmt: skip
def test_what_may_not_stand_before_the_envelope_may_not_in_any_charset(
    service: Service, ns: str, codec: str, before: str
) -> None:
    media = f"{MEDIA[ns].partition(';')[0]}; charset={codec}"
    refused(send(service, ns, (before + envelope(ns)).encode(codec), Content_Type=media), ns)


@both
@pytest.mark.parametrize(
    "charset", ["iso8859-1", "ISO_8859-1", "latin-1", "cp1252", "UTF_8", "Utf-8", '"utf-8"', "cp1254"]
)
def test_a_charset_is_known_by_its_other_names(service: Service, ns: str, charset: str) -> None:
    media = f"{MEDIA[ns].partition(';')[0]}; charset={charset}"
    assert send(service, ns, envelope(ns), Content_Type=media).status_code == 200
    extended = f"{MEDIA[ns].partition(';')[0]}; charset*=utf-8''utf-8"
    assert send(service, ns, envelope(ns), Content_Type=extended).status_code == 200


def test_what_must_be_understood_is_told_before_anything_else(service: Service) -> None:
    secret = '<x:Secret xmlns:x="urn:x" s:mustUnderstand="1"/>'
    styled = '<GetLimits xmlns="urn:webchat:v1"><CHATID s:encodingStyle="urn:foo">a</CHATID></GetLimits>'
    assert code(send(service, SOAP12, envelope(SOAP12, styled, header=secret))) == ("MustUnderstand", None)
    odd = '<x:a xmlns:x="urn:x" s:mustUnderstand="maybe"/>'
    assert code(send(service, SOAP12, envelope(SOAP12, header=odd + secret))) == ("MustUnderstand", None)
    elsewhere = '<x:a xmlns:x="urn:x" s:mustUnderstand="true" s:actor="urn:other"/>'
    assert send(service, SOAP11, envelope(SOAP11, header=elsewhere)).status_code == 200


@both
@pytest.mark.parametrize(
    "message",
    [
        pytest.param(
            lambda: '<h x="\'" y="1" ' + " ".join(f"a{n}=''" for n in range(9000)) + "/>", id="behind a comment"
        ),
        pytest.param(lambda: "<x></x>" * 2000, id="tags"),
    ],
)
def test_no_quote_hides_what_comes_behind_it(service: Service, ns: str, message: Any) -> None:
    text = envelope(ns, header="HEADER").replace("<s:Header>", "<!-- ' --><s:Header>").replace("HEADER", message())
    assert re.search("attributes|tags|bytes", refused(send(service, ns, text), ns))


@both
def test_a_header_that_must_be_understood_is_not(service: Service, ns: str) -> None:
    header = '<x:Secret xmlns:x="urn:x" s:mustUnderstand="1"/>'
    answer = send(service, ns, envelope(ns, header=header))
    assert answer.status_code == 500
    assert code(answer) == ("MustUnderstand", None)
    assert "detail" not in answer.text.lower()
    if ns == SOAP12:
        block = etree.fromstring(answer.content).find(f"{{{SOAP12}}}Header/{{{SOAP12}}}NotUnderstood")
        prefix, _, local = block.get("qname").partition(":")
        assert (block.nsmap[prefix], local) == ("urn:x", "Secret")


def test_must_understand_comes_before_the_body(service: Service) -> None:
    header = '<x:Secret xmlns:x="urn:x" s:mustUnderstand="1"/>'
    answer = send(service, SOAP11, envelope(SOAP11, "<Nonsense/>", header=header))
    assert code(answer) == ("MustUnderstand", None)


@both
def test_an_unknown_envelope_is_a_version_mismatch(service: Service, ns: str) -> None:
    answer = send(service, ns, envelope("urn:not-soap"))
    assert answer.status_code == 500
    assert code(answer) == ("VersionMismatch", None)
    if ns == SOAP12:
        supported = etree.fromstring(answer.content).findall(
            f"{{{SOAP12}}}Header/{{{SOAP12}}}Upgrade/{{{SOAP12}}}SupportedEnvelope"
        )
        assert [node.nsmap[node.get("qname").partition(":")[0]] for node in supported] == [SOAP12, SOAP11]


def test_an_unknown_encoding_style_is_data_encoding_unknown_in_12_and_ignored_in_11(service: Service) -> None:
    style = 's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"'
    body = f'<GetLimits xmlns="urn:webchat:v1" {style}/>'
    assert code(send(service, SOAP12, envelope(SOAP12, body))) == ("DataEncodingUnknown", None)
    assert send(service, SOAP11, envelope(SOAP11, body)).status_code == 200
    none = f's:encodingStyle="{SOAP12}/encoding/none"'
    assert (
        "GetLimitsResult" in send(service, SOAP12, envelope(SOAP12, f'<GetLimits xmlns="urn:webchat:v1" {none}/>')).text
    )


@pytest.mark.parametrize(
    ("action", "works"),
    [
        ('"GetLimits"', True),
        ("GetLimits", True),
        ('""', True),
        ('"urn:webchat:v1#GetLimits"', True),
        ('"http://tempuri.org/"', True),
        ('"EndChat"', False),
        ('"urn:webchat:v1#EndChat"', False),
        ('"urn:webchat:v1:EndChat"', False),
    ],
)
def test_a_soap_action_that_names_another_operation_is_refused(service: Service, action: str, works: bool) -> None:
    answer = send(service, SOAP11, envelope(SOAP11), SOAPAction=action)
    if works:
        assert answer.status_code == 200
    else:
        assert "EndChat" in refused(answer, SOAP11)


def test_the_action_parameter_of_12_counts_alike(service: Service) -> None:
    media = 'application/soap+xml; charset=utf-8; action="{}"'
    assert send(service, SOAP12, envelope(SOAP12), Content_Type=media.format("GetLimits")).status_code == 200
    refused(send(service, SOAP12, envelope(SOAP12), Content_Type=media.format("EndChat")), SOAP12)


@pytest.mark.parametrize(
    "media",
    ["text/plain", "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", ""],
)
def test_another_media_type_is_415(service: Service, media: str) -> None:
    answer = service.post(envelope(SOAP11), Content_Type=media)
    assert answer.status_code == 415
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "application/soap+xml" in answer.text


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "get"])
def test_another_method_is_405_with_allow(service: Service, method: str) -> None:
    answer = requests.request(method, service.address, timeout=10) if method.isupper() else _raw_method(service, method)
    assert answer.status_code == 405
    assert {name.strip() for name in answer.headers["Allow"].split(",")} == {"GET", "HEAD", "POST"}


def _raw_method(service: Service, method: str) -> Any:
    import http.client

    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=10)
    connection.request(method, "/webchat")
    answer = connection.getresponse()
    answer.status_code = answer.status  # type: ignore[attr-defined]
    answer.read()
    return answer


def test_a_body_over_the_limit_is_413(start_service: Any) -> None:
    small = start_service(MAX_REQUEST="2KiB")
    answer = small.post(envelope(SOAP11) + " " * 2048)
    assert answer.status_code == 413
    assert "2048" in answer.text


@pytest.mark.parametrize("encoding", ["br", "x", "gzip, gzip"])
def test_an_unknown_content_encoding_is_415(service: Service, encoding: str) -> None:
    assert service.post(envelope(SOAP11), Content_Encoding=encoding).status_code == 415


PACKERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": lambda plain: zlib.compress(plain)[2:-4],
}


@both
@pytest.mark.parametrize("encoding", PACKERS)
def test_a_packed_request_is_read(service: Service, ns: str, encoding: str) -> None:
    packed = PACKERS[encoding](envelope(ns).encode())
    assert "GetLimitsResult" in send(service, ns, packed, Content_Encoding=encoding).text


@pytest.mark.parametrize("encoding", PACKERS)
def test_a_packed_request_counts_by_what_it_unpacks_to(service: Service, encoding: str) -> None:
    bomb = PACKERS[encoding](bytes(50 << 20))
    answer = service.post(bomb, Content_Encoding=encoding)
    assert answer.status_code == 413
    assert "Unpacked, the request is larger than" in answer.text


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize(
    "spoil", [lambda packed: packed[:-5], lambda packed: packed + b"more", lambda packed: b"plain"]
)
def test_a_packed_request_that_is_broken_is_400(service: Service, encoding: str, spoil: Any) -> None:
    packed = spoil(PACKERS[encoding](envelope(SOAP11).encode() * 20))
    assert service.post(packed, Content_Encoding=encoding).status_code == 400


@both
@pytest.mark.parametrize(
    ("accept", "packs"),
    [("gzip", True), ("gzip, deflate", True), ("*", True), ("GZIP;q=0.5", True), ("", False), ("br", False),
     ("gzip;q=0", False), ("identity", False), ("gzip;q=x", False)],
)  # fmt: skip
def test_a_long_answer_is_packed_where_that_is_asked(
    service: Service, ns: str, chat_id: str, accept: str, packs: bool
) -> None:
    text = "long " * 600
    body = f'<SendMessage xmlns="urn:webchat:v1"><CHATID>{chat_id}</CHATID><fileDetails>{{"text": "{text}"}}</fileDetails></SendMessage>'
    short = send(service, ns, envelope(ns, body), Accept_Encoding=accept)
    assert "Content-Encoding" not in short.headers
    read = f'<GetMessages xmlns="urn:webchat:v1"><CHATID>{chat_id}</CHATID></GetMessages>'
    answer = send(service, ns, envelope(ns, read), Accept_Encoding=accept)
    assert (answer.headers.get("Content-Encoding") == "gzip") is packs
    assert f"<text>{text.strip()}</text>" in answer.text


WSA = ["http://www.w3.org/2005/08/addressing", "http://schemas.xmlsoap.org/ws/2004/08/addressing"]


def addressed(wsa: str, operation: str = "GetLimits") -> str:
    """What WCF's wsHttpBinding sends."""
    return (
        f'<a:Action xmlns:a="{wsa}" s:mustUnderstand="1">{operation}</a:Action>'
        f'<a:MessageID xmlns:a="{wsa}">urn:uuid:4f0c&amp;8d2e</a:MessageID>'
        f'<a:ReplyTo xmlns:a="{wsa}"><a:Address>{wsa}/anonymous</a:Address></a:ReplyTo>'
        f'<a:To xmlns:a="{wsa}" s:mustUnderstand="1">http://somewhere/webchat</a:To>'
    )


@both
@pytest.mark.parametrize("wsa", WSA)
def test_an_addressed_message_is_answered_to_its_id(service: Service, ns: str, wsa: str) -> None:
    def header(answer: requests.Response) -> dict[str, str]:
        found = etree.fromstring(answer.content).find(f"{{{ns}}}Header")
        return {etree.QName(block).localname: block.text for block in found.iterchildren(f"{{{wsa}}}*")}

    answer = send(service, ns, envelope(ns, header=addressed(wsa)))
    assert answer.status_code == 200
    assert header(answer) == {
        "Action": "urn:webchat:v1:WebchatPortType:GetLimitsResponse",
        "RelatesTo": "urn:uuid:4f0c&8d2e",
    }
    unknown = '<EndChat xmlns="urn:webchat:v1"><CHATID>none</CHATID></EndChat>'
    fault = send(service, ns, envelope(ns, unknown, header=addressed(wsa, "EndChat")))
    assert code(fault)[1] == "ChatNotFound"
    assert header(fault) == {
        "Action": "urn:webchat:v1:WebchatPortType:EndChat:Fault:WebchatFault",
        "RelatesTo": "urn:uuid:4f0c&8d2e",
    }
    secret = addressed(wsa) + '<x:Secret xmlns:x="urn:x" s:mustUnderstand="1"/>'
    ruled = send(service, ns, envelope(ns, header=secret))
    assert code(ruled) == ("MustUnderstand", None)
    assert header(ruled)["RelatesTo"] == "urn:uuid:4f0c&8d2e"
    assert header(ruled)["Action"] in (f"{wsa}/soap/fault", f"{wsa}/fault")


@both
def test_an_answer_to_a_message_that_is_not_addressed_has_no_header(service: Service, ns: str) -> None:
    assert etree.fromstring(send(service, ns, envelope(ns)).content).find(f"{{{ns}}}Header") is None


@both
def test_a_multipart_package_is_answered_as_if_plain(service: Service, ns: str) -> None:
    inner = MEDIA[ns].partition(";")[0]
    boundary = "uuid:4f0c8d2e"
    package = (
        f"\r\n--{boundary}\r\nContent-ID: <root>\r\nContent-Transfer-Encoding: 8bit\r\n"
        f'Content-Type: application/xop+xml;charset=utf-8;type="{inner}"\r\n\r\n{envelope(ns)}\r\n--{boundary}--\r\n'
    )
    media = (
        f'multipart/related; type="application/xop+xml"; boundary="{boundary}"; start="<root>"; start-info="{inner}"'
    )
    answer = service.post(package, Content_Type=media)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == MEDIA[ns]
    named = service.post(package, Content_Type=media + '; action="EndChat"')
    assert (code(named)[1] if ns == SOAP12 else named.status_code) == ("InvalidRequest" if ns == SOAP12 else 200)
    broken = service.post(package.replace(f"--{boundary}--", ""), Content_Type=media)
    assert broken.status_code == 500
    assert code(broken)[1] == "InvalidRequest"


@both
def test_a_12_subcode_is_a_qualified_name_whose_prefix_is_declared_on_the_fault(service: Service, ns: str) -> None:
    answer = send(service, ns, envelope(ns, '<EndChat xmlns="urn:webchat:v1"><CHATID>none</CHATID></EndChat>'))
    root = etree.fromstring(answer.content)
    if ns == SOAP12:
        fault = root.find(f".//{{{SOAP12}}}Fault")
        value = fault.findtext(f".//{{{SOAP12}}}Subcode/{{{SOAP12}}}Value")
        prefix, _, local = value.partition(":")
        assert (fault.nsmap[prefix], local) == ("urn:webchat:v1", "ChatNotFound")
        assert (
            fault.find(f"{{{SOAP12}}}Reason/{{{SOAP12}}}Text").get("{http://www.w3.org/XML/1998/namespace}lang") == "en"
        )
    else:
        assert re.search(r"<faultcode>soap:Client</faultcode><faultstring>ChatNotFound: ", answer.text)
    detail = root.find(".//{urn:webchat:v1}WebchatFault")
    assert [etree.QName(node).localname for node in detail] == ["code", "message", "retryable", "requestId", "field"]


def test_an_answer_never_holds_what_xml_cannot_carry(service: Service, chat_id: str) -> None:
    for escaped in ("\\u0000", "\\b", "\\ud800", "\\uffff"):
        body = f'<SendMessage xmlns="urn:webchat:v1"><CHATID>{chat_id}</CHATID><fileDetails>{{"text": "a{escaped}"}}</fileDetails></SendMessage>'
        refused(send(service, SOAP11, envelope(SOAP11, body)), SOAP11)
    assert (
        code(
            send(
                service,
                SOAP11,
                envelope(SOAP11, f'<GetMessages xmlns="urn:webchat:v1"><CHATID>{chat_id}</CHATID></GetMessages>'),
            )
        )[1]
        == "ChatNotFound"
    )
