/**
 * Several processes that compute together: {@link org.sightline.distributed.Rendezvous} says who
 * they are and where they meet, in the words of torchrun; a {@link
 * org.sightline.distributed.ProcessGroup} adds, copies and gathers tensors among them, on
 * libtorch's own c10d.
 */
package org.sightline.distributed;
