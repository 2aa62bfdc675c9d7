/*
 * What open_by_handle_at(2) gives of the file system behind each argument, past the mount: one line for every file in the two
 * uppermost levels, or why not. The roots of ext4 (inode 2, Documentation/filesystems/ext4/special_inodes.rst) and of a control
 * group's file system (node 1) have handles that one can know.
 *
 * Static; root with CAP_DAC_READ_SEARCH and CAP_DAC_OVERRIDE.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* FILEID_KERNFS and FILEID_INO32_GEN (include/linux/exportfs.h); generation 0 is any. */
static const struct {
    int type;
    unsigned bytes[2];
} roots[] = { { 0xfe, { 1, 0 } }, { 1, { 2, 0 } } };

static void list(int directory, const char *path, int levels)
{
    DIR *entries = fdopendir(directory);
    struct dirent *entry;
    while (entries && (entry = readdir(entries))) {
        char below[512];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        printf("%s\n", below);
        if (levels > 1)
            list(openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY), below, levels - 1);
    }
}

int main(int count, char **paths)
{
    for (int path = 1; path < count; path++) {
        int mount = open(paths[path], O_RDONLY);
        int found = -1;
        for (int root = 0; found < 0 && root < 2; root++) {
            struct {
                struct file_handle head;
                unsigned bytes[2];
            } handle;
            handle.head.handle_bytes = sizeof handle.bytes;
            handle.head.handle_type = roots[root].type;
            memcpy(handle.head.f_handle, roots[root].bytes, sizeof handle.bytes);
            found = open_by_handle_at(mount, &handle.head, O_RDONLY);
        }
        if (found < 0)
            printf("%s: %s\n", paths[path], strerror(errno));
        else
            list(found, paths[path], 2);
    }
    return 0;
}
