<?php
// One text and one typed fault through PHP's SoapClient, from the WSDL alone. Arguments: WSDL, address, CHATID, ended CHATID.
[, $wsdl, $address, $chatId, $endedChatId] = $argv;
$results = [];
foreach (["1.1" => SOAP_1_1, "1.2" => SOAP_1_2] as $name => $version) {
    $client = new SoapClient($wsdl, [
        "soap_version" => $version,
        "location" => $address,
        "exceptions" => true,
        "cache_wsdl" => WSDL_CACHE_NONE,
        "features" => SOAP_SINGLE_ELEMENT_ARRAYS,
    ]);
    $sent = $client->SendMessage(["CHATID" => $chatId, "fileDetails" => json_encode(["text" => "php $name ş"])]);
    $page = $client->GetMessages(["CHATID" => $chatId]);
    try {
        $client->SendMessage(["CHATID" => $endedChatId, "fileDetails" => json_encode(["text" => "late"])]);
        $fault = null;
    } catch (SoapFault $error) {
        $fault = $error->detail->WebchatFault;
    }
    $messages = $page->GetMessagesResult->message;
    $results[$name] = ["receipt" => $sent->SendMessageResult, "last" => end($messages), "fault" => $fault];
}
echo json_encode($results), "\n";
