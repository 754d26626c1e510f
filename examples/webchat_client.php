<?php
// A small client of the webchat service: php webchat_client.php [ADDRESS [FILE_URL]]. Needs PHP 8 with ext-soap.
declare(strict_types=1);

$address = $argv[1] ?? "http://127.0.0.1:8000";
ini_set("default_socket_timeout", "60"); // a call answers within 45 seconds, or not at all
$webchat = new SoapClient("$address/webchat?wsdl", [
    "features" => SOAP_SINGLE_ELEMENT_ARRAYS, // a list of one is a list; an empty one is absent: read it with ?? []
    "cache_wsdl" => WSDL_CACHE_NONE, // use the default, WSDL_CACHE_DISK, in production
]);

// Calls until it works or another try cannot help. Every try sends the same clientToken, so the call counts once.
function patiently(string $operation, array $parameters): object
{
    global $webchat;
    for ($attempt = 0; ; $attempt++) {
        try {
            return $webchat->$operation($parameters)->{"{$operation}Result"};
        } catch (SoapFault $fault) {
            $detail = $fault->detail->WebchatFault ?? null;
            // SoapClient reads a fault's members as text, and "false" would count as true.
            $retryable = filter_var($detail->retryable ?? false, FILTER_VALIDATE_BOOLEAN);
            $unanswered = $fault->faultcode === "HTTP"; // the call may have worked
            if ((!$retryable && !$unanswered) || $attempt === 4) {
                throw $fault;
            }
            $seconds = (int) ($detail->retryAfterSeconds ?? 2 ** $attempt);
            echo "Trying again in $seconds s\n";
            sleep($seconds);
        }
    }
}

function new_token(): string
{
    return bin2hex(random_bytes(16));
}

// Without a FILE_URL this sends a file of the chat "demo", which `make run` makes.
$fileUrl = $argv[2] ?? null;
foreach ($fileUrl === null ? patiently("GetMessages", ["CHATID" => "demo"])->message ?? [] : [] as $message) {
    $fileUrl ??= $message->file[0]->fileUrl ?? null;
}

$chat = patiently("StartChat", ["customerName" => "Ayşe Yılmaz", "clientToken" => new_token()]);
$startedAt = new DateTimeImmutable($chat->startedAt);
echo "Chat $chat->CHATID is $chat->status since {$startedAt->format('Y-m-d H:i:s')} UTC\n";
$call = fn (array $details) => // the parameters of a call with JSON in fileDetails
    ["CHATID" => $chat->CHATID, "fileDetails" => json_encode($details), "clientToken" => new_token()];

$receipt = patiently("SendMessage", $call(["text" => "Merhaba! A picture for you:"]));
echo "Text is message $receipt->sequence\n";

// UploadFile posts the file to the chat: do not send its link by SendMessage as well.
$receipt = patiently("UploadFile", $call(["fileUrl" => $fileUrl]));
foreach ($receipt->file ?? [] as $file) {
    echo "File is message $receipt->sequence: $file->fileType of $file->size bytes, $file->fileUrl\n";
}

// Each poll asks for what follows the last message, and waits for it, until an agent answers or nothing comes.
$lastSequence = 0;
do {
    $poll = ["CHATID" => $chat->CHATID, "afterSequence" => $lastSequence, "waitSeconds" => 10];
    $messages = patiently("GetMessages", $poll)->message ?? [];
    foreach ($messages as $message) {
        $lastSequence = $message->sequence;
        $count = count($message->file ?? []);
        echo "Message $message->sequence of $message->sender: ", $message->text ?? "", ", $count files\n";
    }
} while ($messages && end($messages)->sender !== "AGENT");

$chat = patiently("EndChat", ["CHATID" => $chat->CHATID]);
echo "Chat $chat->CHATID is $chat->status with $chat->lastSequence messages\n";

try {
    $webchat->SendMessage($call(["text" => "Too late"]));
} catch (SoapFault $fault) {
    $detail = $fault->detail->WebchatFault ?? throw $fault;
    echo "$detail->code, field $detail->field, request $detail->requestId: $detail->message\n";
}
