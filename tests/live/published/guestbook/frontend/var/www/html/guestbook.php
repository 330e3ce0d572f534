<?php
// Reads messages from a follower and writes them to the leader, in the protocol of Redis.
function ask(string $host, array $words) {
    $redis = fsockopen($host, 6379, $number, $error, 1.0);
    if (!$redis) {
        http_response_code(503);
        exit("no connection to $host: $error\n");
    }
    stream_set_timeout($redis, 1);
    $text = "*" . count($words) . "\r\n";
    foreach ($words as $word) {
        $text .= "$" . strlen($word) . "\r\n$word\r\n";
    }
    fwrite($redis, $text);
    $head = fgets($redis);
    if ($head === false || $head[0] === "-") {
        http_response_code(503);
        exit("$host answered $head\n");
    }
    return $head[0] === "$" && (int) substr($head, 1) >= 0 ? fgets($redis) : "";
}

$key = $_GET["key"] ?? "messages";
if (($_GET["cmd"] ?? "get") === "set") {
    ask("redis-leader", ["SET", $key, $_GET["value"] ?? ""]);
    echo json_encode(["message" => "Updated"]), "\n";
} else {
    echo json_encode(["data" => trim(ask("redis-follower", ["GET", $key]))]), "\n";
}
