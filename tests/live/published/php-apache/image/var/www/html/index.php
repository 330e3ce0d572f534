<?php
// Uses 20 ms of CPU time for each request, on every machine.
function used(): float {
    $usage = getrusage();
    return $usage["ru_utime.tv_sec"] + $usage["ru_stime.tv_sec"]
        + ($usage["ru_utime.tv_usec"] + $usage["ru_stime.tv_usec"]) / 1e6;
}

$start = used();
$sum = 0;
while (used() - $start < 0.02) {
    for ($number = 1; $number <= 1000; $number++) {
        $sum += sqrt($number);
    }
}
echo "sum ", round($sum), "\n";
