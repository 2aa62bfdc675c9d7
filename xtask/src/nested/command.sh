cd_back=$PWD
cd /run/nested && mkfifo output error input && cd "$cd_back" || exit 1
cat /run/nested/output > /dev/vport0p1 &
output=$!
cat /run/nested/error > /dev/vport0p2 &
error=$!
cat /dev/vport0p3 > /run/nested/input 2>/dev/null &
setsid --wait "$@" < /run/nested/input > /run/nested/output 2> /run/nested/error
status=$?
# A background process of the command may hold its output for ever; the machine ends without it.
for stream in $output $error; do
    timeout 5 tail --follow --sleep-interval=0.02 --pid=$stream /dev/null
done
sync
echo $status > /dev/vport0p4
# The host ends the machine.
exec sleep infinity
