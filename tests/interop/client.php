<?php
// The scenario of stacks.py with PHP's SoapClient. Arguments: see there.
[, $wsdl, $prefix, $lists, $fileUrl, $largeUrl, $missingUrl] = $argv;

// What a member holds becomes JSON as it is; a time, which SoapClient makes by the typemap below, says so.
function seen(mixed $value): mixed
{
    if ($value instanceof DateTimeImmutable) {
        return ["time" => $value->format("Y-m-d\TH:i:s.vp")];
    }
    return is_object($value) || is_array($value) ? array_map(seen(...), (array) $value) : $value;
}

function fault(callable $call): mixed
{
    try {
        $call();
    } catch (SoapFault $error) {
        return $error->detail->WebchatFault;
    }
    return null;
}

$results = [];
foreach (["1.1" => SOAP_1_1, "1.2" => SOAP_1_2] as $name => $version) {
    $webchat = new SoapClient($wsdl, [
        "soap_version" => $version,
        "cache_wsdl" => WSDL_CACHE_NONE,
        "features" => SOAP_SINGLE_ELEMENT_ARRAYS,
        "typemap" => [[
            "type_ns" => "http://www.w3.org/2001/XMLSchema",
            "type_name" => "dateTime",
            "from_xml" => fn (string $xml) => new DateTimeImmutable(strip_tags($xml)),
        ]],
    ]);
    $chat = "$prefix-$name";
    $file = ["fileUrl" => $fileUrl, "fileType" => "IMAGE"];
    $send = fn (string $chat, array $message, array $more = []) =>
        $webchat->SendMessage(["CHATID" => $chat, "fileDetails" => json_encode($message)] + $more)->SendMessageResult;
    $upload = fn (string $chat, array $file) =>
        $webchat->UploadFile(["CHATID" => $chat, "fileDetails" => json_encode($file)])->UploadFileResult;
    $read = fn (string $chat, array $more = []) =>
        $webchat->GetMessages(["CHATID" => $chat] + $more)->GetMessagesResult;

    $results[$name] = array_map(seen(...), [
        "started" => $webchat->StartChat(["CHATID" => $chat, "customerName" => "Ayşe 🙂"])->StartChatResult,
        "empty" => $read($chat),
        "text" => $send($chat, ["text" => "first ş"], ["clientToken" => "token-1"]),
        "repeated" => $send($chat, ["text" => "first ş"], ["clientToken" => "token-1"]),
        "one" => $read($chat),
        "file" => $send($chat, ["fileDetails" => $file]),
        "both" => $send($chat, ["text" => "a <b> & ]]>", "fileDetails" => $file]),
        "uploaded" => $upload($chat, $file),
        "two" => $read($chat, ["afterSequence" => 1, "maxMessages" => 2, "waitSeconds" => 5]),
        "lists" => $read($lists),
        "limits" => $webchat->GetLimits(["CHATID" => $chat])->GetLimitsResult,
        "general" => $webchat->GetLimits()->GetLimitsResult,
        "ended" => $webchat->EndChat(["CHATID" => $chat])->EndChatResult,
        "faults" => [
            "late" => fault(fn () => $send($chat, ["text" => "late"])),
            "broken" => fault(fn () => $webchat->SendMessage(["CHATID" => $lists, "fileDetails" => "{\"text\":\n }"])),
            "large" => fault(fn () => $upload($prefix, ["fileUrl" => $largeUrl])),
            "missing" => fault(fn () => $upload($prefix, ["fileUrl" => $missingUrl])),
            "mismatch" => fault(fn () => $upload($prefix, ["fileType" => "VIDEO"] + $file)),
            "negative" => fault(fn () => $read($lists, ["afterSequence" => -1])),
        ],
    ]);
}
echo json_encode($results, JSON_THROW_ON_ERROR), "\n";
