/**
 * The C ABI of {@code libsightline} as JavaCPP sees it: generated from {@code sightline.h}, plus
 * what its loading needs and who owns native objects. Internal: use the classes of {@link
 * org.sightline}.
 */
package org.sightline.binding;
