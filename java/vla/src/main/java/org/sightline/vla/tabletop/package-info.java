/**
 * Embedded default data: a small tabletop world with a ray-cast camera, a scripted expert, and a
 * generator that writes its episodes as an RLDS folder.
 */
package org.sightline.vla.tabletop;
