// Light on a point of a hair, for the vertex stage: fragments only interpolate the developed colour.
uniform vec3 u_hair;       // linear
uniform float u_shine;

// Share of the key light that reaches a point: one look into the shadow map, fading with the depth of hair before it.
float hair_lit(vec3 p, vec3 n) {
    vec3 q = (u_shadow * vec4(p + n * 0.3, 1.0)).xyz * 0.5 + 0.5;
    float depth = q.z - textureLod(u_shadow_map, q.xy, 0.0).r - 0.004;   // 0.0125 a centimetre
    return exp(-70.0 * max(depth, 0.0));
}

// Kajiya and Kay's two cones, after Marschner shifted along the hair: one white, at the surface; one of the hair's colour.
// p posed point, t tangent from root to tip, n shell normal, openness 0 deep inside .. 1 outside, vary 0..1 per strand.
vec3 hair_colour(vec3 p, vec3 t, vec3 n, vec3 albedo, float openness, float vary) {
    vec3 v = to_camera(p);
    float shadow = hair_lit(p, n);
    float tl = dot(t, u_key_direction);
    float round_light = sqrt(max(1.0 - tl * tl, 0.0));
    float broad = clamp(dot(n, u_key_direction) * 0.62 + 0.38, 0.0, 1.0);
    float fill = clamp(dot(n, u_fill_direction) * 0.6 + 0.4, 0.0, 1.0);
    vec3 light = u_key * (broad * (0.45 + 0.55 * round_light) * (0.12 + 0.88 * shadow))
        + (u_fill * fill + mix(u_ground, u_sky, n.y * 0.5 + 0.5)) * openness;
    vec3 c = albedo * light * (0.45 + 0.55 * openness);
    vec3 h = normalize(v + u_key_direction);
    float th = dot(t, h);
    vec2 shifted = vec2(th + 0.05, th - 0.10) + 0.16 * (vary - 0.5);
    vec2 cone = pow(sqrt(max(1.0 - shifted * shifted, 0.0)), vec2(110.0, 22.0));
    vec3 coloured = sqrt(albedo) * (0.25 + albedo);
    float side_on = 1.0 - abs(dot(n, v));
    c += u_shine * broad * shadow * openness * u_key * (cone.x * 0.16 + cone.y * coloured * 0.75);
    c += u_rim * openness * side_on * side_on * (0.10 + albedo) * clamp(0.4 + n.y, 0.0, 1.0);
    return c;
}
