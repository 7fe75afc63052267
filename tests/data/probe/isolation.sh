# What a container finds around itself, a line for each fact: "TOPIC what: value". Run by busybox sh in both engines.
for name in CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp SigBlk SigIgn Cpus_allowed_list Mems_allowed_list; do
    echo "status $name: $(grep "^$name:" /proc/self/status | cut -f2)"
done
echo "status groups: $(grep ^Groups: /proc/self/status | cut -f2 | tr -d ' ')"
echo "status oom_score_adj: $(cat /proc/self/oom_score_adj)"
echo "status umask: $(umask)"
echo "status cwd: $(pwd)"
echo "status uid: $(id -u):$(id -g)"
sed -e 's/  */ /g' -e 's/^/limit /' -e 's/ \([^ ]* [^ ]* [^ ]*\) *$/: \1/' /proc/self/limits | grep -v 'Limit Soft'
env | grep -v ^HOSTNAME= | grep -v ^SHLVL= | grep -v ^PWD= | sed 's/^\([^=]*\)=/env \1: /'
echo "env HOSTNAME: $([ "$HOSTNAME" = "$(hostname)" ] && echo same as hostname), $(hostname | wc -c)"
for path in /dev/* /dev/pts/ptmx; do
    case $path in /dev/console) continue ;; esac
    if [ -L "$path" ]; then echo "dev $path: link to $(readlink "$path")"
    else echo "dev $path: $(stat -c '%F %a %u:%g %t:%T' "$path")"; fi
done
while read -r source target kind options rest; do
    echo "mount $target: $kind $options"
done < /proc/self/mounts
for path in /proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug /proc/scsi \
    /proc/timer_list /proc/timer_stats /sys/devices/virtual/powercap /sys/firmware /proc/sysrq-trigger /proc/bus /proc/fs \
    /proc/irq /proc/sys /proc/sys/kernel/hostname /proc/sys/kernel/core_pattern /sys/kernel /sys/fs/cgroup; do
    if [ -d "$path" ]; then
        touch "$path/probe" 2>/dev/null && made=can || made=cannot
        echo "path $path: directory of $(ls -A "$path" | wc -l | sed 's/^[1-9].*/some/'), $made be written to"
    elif [ -e "$path" ]; then
        # opened, not written: the write itself is what these files are dangerous for
        (: >> "$path") 2>/dev/null && opened=can || opened=cannot
        echo "path $path: file of $(head -c 1 "$path" 2>/dev/null | wc -c), $opened be opened for writing"
    else echo "path $path: absent"; fi
done
for device in c:1:1 c:1:2 c:1:3 c:1:4 c:1:5 c:1:7 c:1:8 c:1:9 c:1:11 c:5:0 c:5:2 c:10:200 c:10:229 c:10:237 c:136:0 b:7:0 b:8:0 \
    b:254:0; do
    mknod /tmp/node ${device%%:*} $(echo "${device#*:}" | tr ':' ' ') 2>/dev/null && made=made || made="not made"
    why=$( (exec 3< /tmp/node) 2>&1) && why=opened
    echo "device $device: $made, ${why##*: }"
    rm -f /tmp/node
done
for name in ip_unprivileged_port_start ping_group_range; do
    echo "sysctl $name: $(cat /proc/sys/net/ipv4/$name | tr '\t' ' ')"
done
for name in mnt pid net ipc uts cgroup user; do echo "namespace $name: $(readlink /proc/self/ns/$name)"; done
echo "fds: $(ls /proc/self/fd | tr '\n' ' ')"
for fd in /proc/1/fd/*; do echo "fd of PID 1 ${fd##*/}: $(readlink "$fd" | sed 's/[0-9]*//g')"; done
hostname changed 2>/dev/null && echo "try hostname: changed" || echo "try hostname: refused"
mount -t tmpfs none /tmp 2>/dev/null && echo "try mount: mounted" || echo "try mount: refused"
unshare -U true 2>/dev/null && echo "try user namespace: made" || echo "try user namespace: refused"
dmesg > /dev/null 2>&1 && echo "try dmesg: read" || echo "try dmesg: refused"
date -s 2020.01.01-00:00 > /dev/null 2>&1 && echo "try clock: set" || echo "try clock: refused"
chroot / true 2>/dev/null && echo "try chroot: done" || echo "try chroot: refused"
echo 0 > /proc/sys/net/ipv4/ip_forward 2>/dev/null && echo "try sysctl: set" || echo "try sysctl: refused"
