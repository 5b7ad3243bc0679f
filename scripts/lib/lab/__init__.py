"""Hosts on one Linux machine, to try a cluster on: the program behind scripts/lab.

A host is a process (`host_init`, its PID 1) in network, PID, mount, UTS and IPC namespaces of
its own, with an address on a bridge, a disk of its own laid over the machine's files, and an
sshd. Nothing of it is in the machine's own namespaces but the bridge, one end of each link, and
the lab's folder.

    command     options in, one sentence and an exit code out
    errors      what it says when something is wrong
    layout      names, addresses and files of a lab, and the file that says it is there
    lifecycle   up and down, and what is left of a lab that was made by halves
    hosts       boot, kill, stall and heal one host
    host_init   what runs as a host's PID 1
    disks       what a host's disk holds before its first boot
    network     bridge and links: cut, slow
    namespaces  a command inside a host
    processes   which processes are a lab's
    cluster_file  the file for `ray up`

Invariants: which hosts are up is what the kernel says, never what a file says; everything a lab
makes carries its name, so that `down` finds it also after an `up` that was killed.
"""
